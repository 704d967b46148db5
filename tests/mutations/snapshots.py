"""The guards of what applications are told from memory, as those in `records`."""

from tests.mutations.records import Mutation

UNREADABLE = "contract/test_unreadable.py::test_"
AWAY = "contract/test_refresher_without_database.py::test_"
FORKS = "contract/test_forks.py::test_"
LATE = "contract/test_late_refreshes.py::test_"
LOOKING = "contract/test_refresher.py::test_"
SNAPSHOT = "domain/test_snapshot.py::test_"

ANNOUNCEMENTS = "snapshots/test_announcements.py::test_"

KNOWN = "flagsched/snapshots/cache.py"
BESIDE = [f"{LATE}no_answer_rests_on_a_look_that_is_older_than_a_second", f"{LATE}a_late_look_is_waited_for"]

SNAPSHOT_MUTATIONS = [
    Mutation(
        "the tag names all that is told",
        [f"{SNAPSHOT}all_that_may_be_told_of_a_flag_is_in_the_tag_whoever_wrote_it"],
        [
            (
                "flagsched/domain/evaluation.py",
                "(self.metadata, self.key, state.enabled, state.rollout_percentage)",
                "(self.metadata, self.key)",
            )
        ],
        BESIDE,
    ),
    Mutation(
        "a look tells nothing of later than itself",
        [
            f"{LATE}of_two_instants_that_a_look_began_between_it_tells_the_first_alone",
            f"{LOOKING}a_cancel_that_comes_between_a_looks_snapshot_and_its_clock_is_honoured",
        ],
        [
            (
                KNOWN,
                "self._publish(base, found.read.began_at, found.at, lease_ends_at)",
                "self._publish(base, found.read.began_at, self.clock.now(), lease_ends_at)",
            )
        ],
        BESIDE,
    ),
    Mutation(
        "what was told is not taken back",
        [f"{LATE}what_was_told_is_not_taken_back_when_the_clock_is_set_back"],
        [(KNOWN, "max(at, before.at)", "at")],
        BESIDE,
    ),
    Mutation(
        "no answer rests on an old look",
        [f"{LATE}no_answer_rests_on_a_look_that_is_older_than_a_second"],
        [(KNOWN, "min(over_at, self.reached_at + MAX_AGE_SECONDS)", "over_at")],
        [f"{LATE}what_is_closed_looks_no_more"],
    ),
    Mutation(
        "no process answers for longer than a lease",
        [f"{ANNOUNCEMENTS}no_client_is_told_an_older_revision_than_before"],
        [(KNOWN, "return as_of + LEASE_SECONDS if missed", "return as_of + 1 if missed")],
        [f"{ANNOUNCEMENTS}a_backup_that_was_restored_is_told_though_it_has_counted_less"],
    ),
    Mutation(
        "a change is told no sooner than announced",
        [f"{ANNOUNCEMENTS}a_change_is_told_by_every_process_once_one_tells_it"],
        [(KNOWN, "> 0:\n            self._sleep(seconds)", "> 1:\n            self._sleep(seconds)")],
        [f"{ANNOUNCEMENTS}a_backup_that_was_restored_is_told_though_it_has_counted_less"],
    ),
    Mutation(
        "what is told already is known before what comes",
        [f"{ANNOUNCEMENTS}a_process_that_missed_a_change_tells_no_older_state_though_another_change_is_pending"],
        [("flagsched/snapshots/announcements.py", "if self.before.is_in(read) else NEVER", "")],
        [f"{ANNOUNCEMENTS}a_backup_that_was_restored_is_told_though_it_has_counted_less"],
    ),
    Mutation(
        "a row is its own environment's trouble",
        [f"{UNREADABLE}a_row_that_cannot_be_read_is_the_trouble_of_its_own_environment"],
        [(KNOWN, "as error:  # noqa: BLE001 - a row", "as error:\n                raise  # noqa: BLE001 - a row")],
        BESIDE,
    ),
    Mutation(
        "a database that was lost is read anew",
        [f"{AWAY}a_database_that_was_away_may_be_another_when_it_is_back"],
        [(KNOWN, "        if self._lost:\n            return {}\n", "")],
        BESIDE,
    ),
    Mutation(
        "a fork shares no connection",
        [f"{FORKS}a_forked_process_opens_connections_of_its_own[postgresql]"],
        [("flagsched/database/connections/fork_safety.py", "engine.dispose(close=False)", "pass")],
        BESIDE,
    ),
    Mutation(
        "a fork inherits no locks of SQLite",
        [f"{FORKS}what_a_child_writes_stays_when_its_parent_closes_its_engine[sqlite]"],
        [("flagsched/database/connections/fork_safety.py", "            engine.dispose()\n", "            pass\n")],
        BESIDE,
    ),
]
