"""The guards of the admin routes, as those in `records`."""

from tests.mutations.records import Mutation

ROLES = "web/test_roles.py::test_"
APP = "web/test_app.py::test_"
BLUEPRINT = "flagsched/web/blueprint.py"
CHANGED = f"{ROLES}whoever_is_no_admin_reads_and_previews_and_changes_no_flag"
BESIDE = [f"{APP}public_routes_need_no_token", f"{ROLES}every_route_has_a_role_in_the_table"]

ROLE_MUTATIONS = [
    Mutation(
        "a write is for admins unless it says otherwise",
        [CHANGED, f"{ROLES}a_route_that_does_not_say_is_for_admins_unless_it_only_reads"],
        [(BLUEPRINT, 'options.get("methods") == ["GET"] else Role.ADMIN', 'options.get("methods") else Role.ADMIN')],
        BESIDE,
    ),
    Mutation(
        "a route asks for its role",
        [
            CHANGED,
            f"{ROLES}a_403_names_each_role_that_would_do",
            f"{APP}every_route_but_the_public_ones_needs_a_token_with_a_role",
        ],
        [(BLUEPRINT, "        require_role(role)\n", "")],
        BESIDE,
    ),
]
