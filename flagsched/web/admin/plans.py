"""/api/admin/plans."""

from dataclasses import replace
from http import HTTPStatus
from typing import Any, TypeAlias
from uuid import UUID

from flagsched.domain.errors import ValidationFailed
from flagsched.domain.flags import Precondition
from flagsched.domain.plans import PLAN_NAME, EffectivePlan, NewPlan, PlanEdit, PlanStatus
from flagsched.ports.plans import PlanQuery
from flagsched.usecases import plans, undo
from flagsched.usecases.named_plans import AppliedPlan, apply_plan
from flagsched.usecases.plans import CreatedPlan
from flagsched.web.admin.blueprint import AdminBlueprint
from flagsched.web.caller import caller
from flagsched.web.idempotency import idempotent_request
from flagsched.web.roles import Role
from flagsched.web.schemas.flags import ReasonQuery
from flagsched.web.schemas.headers import (
    IdempotencyHeaders,
    IdempotentMatchHeaders,
    MatchHeaders,
    etag_of_plan,
    response_headers,
)
from flagsched.web.schemas.plans import (
    NAME_MESSAGE,
    AppliedPlanView,
    ApplyPlanQuery,
    ApplyPlanRequest,
    CreatedPlanView,
    CreatePlanRequest,
    EditPlanRequest,
    PlanDetailView,
    PlanListQuery,
    PlanPageView,
    PlanPreviewView,
    plan_cursor,
)
from flagsched.web.schemas.strict import Query
from flagsched.web.schemas.undo import UndoPlanRequest
from flagsched.web.service import service, store

blueprint = AdminBlueprint("plans", "Plan changes of several flags and environments in one call; move and end them.")
CREATED = CreatedPlanView()
DETAIL = PlanDetailView()
Detail: TypeAlias = tuple[dict[str, Any], int, dict[str, str]]


@blueprint.post("/plans")
@blueprint.loads(Query, body=CreatePlanRequest, headers=IdempotencyHeaders)
@blueprint.creates(CreatedPlanView, "Location", "ETag")
@blueprint.alt_response(HTTPStatus.NOT_FOUND, "NOT_FOUND")
def create_plan(plan: NewPlan, key: str | None) -> tuple[CreatedPlan, int, dict[str, str]]:
    """Plan changes of several flags and environments, all or none.

    Either `changes`, each with its flag and instant; or `flags`, `environments` and `steps`, of which each flag gets
    each step in each environment.
    """
    idempotent = idempotent_request(key, CREATED.dump, _headers)
    created = plans.create_plan(plan, by=caller(), store=store(), limits=service().limits, idempotent=idempotent)
    return created, HTTPStatus.CREATED, _headers(created)


@blueprint.post("/plans/preview", role=Role.VIEWER)
@blueprint.loads(Query, body=CreatePlanRequest)
@blueprint.response(HTTPStatus.OK, PlanPreviewView)
@blueprint.alt_response(HTTPStatus.NOT_FOUND, "NOT_FOUND")
@blueprint.alt_response(HTTPStatus.CONFLICT, "CONFLICT")
def preview_plan(plan: NewPlan) -> dict[str, Any]:
    """Preview the flags of a plan.

    Nothing is written. It is refused for the same reasons as the creation of this plan.
    """
    previews = plans.preview_plan(plan, store=store(), limits=service().limits)
    return {
        "flags": [
            {
                "flag_key": name.key,
                "environment": name.environment,
                "segments": preview.segments,
                "conflicts": preview.conflicts,
                "passed_over": preview.passed_over,
                "deferred": preview.deferred,
            }
            for name, preview in previews.items()
        ]
    }


@blueprint.get("/plans")
@blueprint.loads(PlanListQuery)
@blueprint.response(HTTPStatus.OK, PlanPageView)
def list_plans(query: PlanQuery, status: PlanStatus | None) -> dict[str, Any]:
    """List plans, newest first.

    `q` is a part of their names or titles. With a `status`, a page may be shorter than `limit` though more follows.
    """
    page = plans.list_plans(query, status, store=store())
    return {"plans": page.items, "next_cursor": page.next_before and plan_cursor(*page.next_before)}


@blueprint.get("/plans/<uuid:plan_id>")
@blueprint.loads(Query)
@blueprint.response(HTTPStatus.OK, PlanDetailView, headers=response_headers("ETag"))
def read_plan(plan_id: UUID) -> Detail:
    """Read a plan.

    With what of it is ahead, and what is in effect, was cancelled or has failed; each by time.
    """
    return _detail(plans.read_plan(plan_id, store=store()))


@blueprint.patch("/plans/<uuid:plan_id>")
@blueprint.loads(Query, body=EditPlanRequest, headers=IdempotentMatchHeaders)
@blueprint.response(HTTPStatus.OK, PlanDetailView, headers=response_headers("ETag", "Idempotency-Replayed"))
@blueprint.alt_response(HTTPStatus.CONFLICT, "CONFLICT")
@blueprint.alt_response(HTTPStatus.PRECONDITION_FAILED, "PRECONDITION_FAILED")
@blueprint.alt_response(HTTPStatus.UNPROCESSABLE_ENTITY, "UNPROCESSABLE_ENTITY")
def edit_plan(edit: PlanEdit, conditions: tuple[Precondition, str | None], plan_id: UUID) -> Detail:
    """Change a plan's title or description, or move all of it that is not in effect yet.

    `shift` moves all or nothing: nothing if a schedule would come to lie in the past, or if one takes effect meanwhile.
    """
    precondition, key = conditions
    idempotent = idempotent_request(key, _dump, _etag, HTTPStatus.OK)
    return _detail(
        plans.edit_plan(
            plan_id,
            edit,
            by=caller(),
            store=store(),
            limits=service().limits,
            precondition=precondition,
            idempotent=idempotent,
        )
    )


@blueprint.delete("/plans/<uuid:plan_id>")
@blueprint.loads(Query, headers=MatchHeaders)
@blueprint.response(HTTPStatus.OK, PlanDetailView, headers=response_headers("ETag"))
@blueprint.alt_response(HTTPStatus.CONFLICT, "CONFLICT")
@blueprint.alt_response(HTTPStatus.PRECONDITION_FAILED, "PRECONDITION_FAILED")
def end_plan(precondition: Precondition, plan_id: UUID) -> Detail:
    """End a plan: cancel all of it that is not in effect yet.

    What is in effect stays. The plan's name is free again.
    """
    return _detail(plans.end_plan(plan_id, by=caller(), store=store(), precondition=precondition))


@blueprint.post("/plans/<uuid:plan_id>/undo")
@blueprint.loads(ReasonQuery, body=UndoPlanRequest, headers=IdempotencyHeaders)
@blueprint.response(HTTPStatus.OK, PlanDetailView, headers=response_headers("ETag", "Idempotency-Replayed"))
@blueprint.alt_response(HTTPStatus.CONFLICT, "CONFLICT")
@blueprint.alt_response(HTTPStatus.UNPROCESSABLE_ENTITY, "UNPROCESSABLE_ENTITY")
def undo_plan(asked: dict[str, Any], key: str | None, plan_id: UUID, override: str | None = None) -> Detail:
    """Undo a plan: end it, and set each of its flags back to what it was before.

    All of it, if nobody has changed that since or with `force`; else nothing.
    """
    idempotent = idempotent_request(key, _dump, _etag, HTTPStatus.OK)
    undone = undo.undo_plan(plan_id, **asked, by=caller(), store=store(), override=override, idempotent=idempotent)
    return _detail(undone)


@blueprint.put("/named-plans/<plan_name>")
@blueprint.loads(ApplyPlanQuery, body=ApplyPlanRequest)
@blueprint.response(HTTPStatus.OK, AppliedPlanView, headers=response_headers("ETag"))
@blueprint.alt_response(HTTPStatus.CONFLICT, "CONFLICT")
def apply_named_plan(plan: NewPlan, plan_name: str, *, dry_run: bool) -> tuple[AppliedPlan, int, dict[str, str]]:
    """Make the plan of a name be this.

    It is created, or what is missing is added and what is no longer asked for is cancelled; what is in effect stays.
    Sent again, it changes nothing. A plan without an instant starts when it is created. `dryRun` writes nothing.
    """
    if not PLAN_NAME.fullmatch(plan_name):
        raise ValidationFailed({"name": [NAME_MESSAGE]})
    applied = apply_plan(
        replace(plan, name=plan_name), dry_run=dry_run, by=caller(), store=store(), limits=service().limits
    )
    return applied, HTTPStatus.OK, etag_of_plan(applied.plan.plan)


def _detail(plan: EffectivePlan) -> Detail:
    return _parts(plan), HTTPStatus.OK, _etag(plan)


def _dump(plan: EffectivePlan) -> Any:
    return DETAIL.dump(_parts(plan))


def _etag(plan: EffectivePlan) -> dict[str, str]:
    return etag_of_plan(plan.plan)


def _parts(plan: EffectivePlan) -> dict[str, Any]:
    return {"plan": plan, "pending": plan.pending, "ended": plan.ended}


def _headers(created: CreatedPlan) -> dict[str, str]:
    plan = created.plan.plan
    return {"Location": f"plans/{plan.id}"} | etag_of_plan(plan)
