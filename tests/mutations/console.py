"""The guards of the console, as those in `records`."""

from tests.mutations.records import Mutation

DOORS = "web/console/test_doors.py::test_"
PAGES = "web/console/test_pages.py::test_"
SIGNED_IN = f"{DOORS}whoever_is_signed_out_signs_in_and_comes_to_the_page_that_was_asked_for"

CONSOLE_MUTATIONS = [
    Mutation(
        "a form holds the key of its browser",
        [f"{DOORS}a_form_without_the_key_of_the_browser_changes_nothing"],
        [
            (
                "flagsched/web/console/session.py",
                "    if not (KEY.fullmatch(kept) and hmac.compare_digest(kept.encode(), sent.encode())):\n",
                "    if False:\n",
            )
        ],
        [SIGNED_IN],
    ),
    Mutation(
        "a link signs in once",
        [f"{DOORS}a_link_signs_in_once"],
        [
            (
                "flagsched/usecases/idempotency.py",
                "        keep_response(work, idempotent, None, work.now())\n        work.commit()\n",
                "",
            )
        ],
        [SIGNED_IN],
    ),
    Mutation(
        "a token is no link",
        [
            f"{DOORS}what_is_no_link_signs_nobody_in[{database}-an access token]"
            for database in ("sqlite", "postgresql")
        ],
        [("flagsched/web/console/door.py", '    if claims.get("type") != "refresh" or not ', "    if not ")],
        [f"{DOORS}a_link_signs_in_once"],
    ),
    Mutation(
        "signing in leads to a page of ours",
        [f"{DOORS}signing_in_leads_nowhere_else"],
        [
            (
                "flagsched/web/console/door.py",
                '    response = redirect("" if not OURS.fullmatch(asked) or ".." in asked else asked)\n',
                "    response = redirect(asked)\n",
            )
        ],
        [SIGNED_IN],
    ),
    Mutation(
        "what was typed is escaped",
        [f"{PAGES}what_people_have_typed_is_shown_and_not_run"],
        [("flagsched/web/console/pages.py", "    autoescape=True,\n", "    autoescape=False,\n")],
        [SIGNED_IN],
    ),
    Mutation(
        "a flag is set in the version that was seen",
        [f"{PAGES}whoever_sets_a_flag_that_another_has_changed_is_told_and_changes_nothing"],
        [("flagsched/web/console/flags.py", "precondition=seen, ", "")],
        [f"{PAGES}a_flag_says_what_it_is_and_why"],
    ),
    Mutation(
        "a spreadsheet gets no formulas",
        [f"{PAGES}a_csv_has_no_formulas"],
        [("flagsched/web/console/history.py", "_inert(cell) for cell", "cell for cell")],
        [f"{PAGES}the_history_is_filtered_paged_and_downloaded"],
    ),
]
