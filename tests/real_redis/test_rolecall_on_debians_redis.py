"""What `RedisStore` must do, on Debian's Redis and with its TLS."""

from __future__ import annotations

from redis_rig import RedisServer
from test_redis_faults import (
    test_a_connection_that_is_lost_at_any_step_costs_nobody_their_call,
    test_a_full_one_costs_nobody_their_call,
    test_a_read_only_replica_is_read_and_costs_nobody_their_call,
    test_a_user_without_rights_still_gets_a_session,
    test_a_wrong_password_costs_nobody_their_call_and_is_not_shown,
    test_one_that_comes_back_is_used_again,
    test_one_that_is_suspended_is_waited_for_once,
    test_what_was_kept_before_one_was_full_is_not_lost,
)
from test_redis_lock import (
    test_a_held_lock_is_renewed,
    test_waiting_ends_once_a_rival_has_stored_something,
    test_whoever_was_overtaken_does_not_free_the_lock_of_the_next_one,
    test_whoever_was_overtaken_does_not_replace_what_the_next_one_stored,
    waits,
)
from test_redis_opening import (
    test_a_tls_server_that_cannot_prove_who_it_is_gets_nothing,
    test_a_user_of_few_rights_is_enough,
    test_tls_is_spoken_with_a_server_of_a_known_ca,
)
from test_redis_processes import (
    counter,
    environ,
    process,
    test_a_holder_that_is_killed_holds_the_next_one_up_for_about_a_lease,
    test_many_workers_on_one_redis_make_as_many_calls_as_one_over_several_lifetimes,
    test_sixteen_cold_processes_on_one_redis_make_one_call,
    test_whoever_waits_fetches_once_the_holder_is_killed,
)
from test_redis_store import (
    TestRedisStore,
    test_an_entry_is_gone_when_its_session_is,
    test_redis_sees_neither_secret_nor_token_nor_key_id_nor_role,
)

__all__ = [
    "TestRedisStore",
    "counter",
    "environ",
    "process",
    "test_a_connection_that_is_lost_at_any_step_costs_nobody_their_call",
    "test_a_full_one_costs_nobody_their_call",
    "test_a_held_lock_is_renewed",
    "test_a_holder_that_is_killed_holds_the_next_one_up_for_about_a_lease",
    "test_a_read_only_replica_is_read_and_costs_nobody_their_call",
    "test_a_tls_server_that_cannot_prove_who_it_is_gets_nothing",
    "test_a_user_of_few_rights_is_enough",
    "test_a_user_without_rights_still_gets_a_session",
    "test_a_wrong_password_costs_nobody_their_call_and_is_not_shown",
    "test_an_entry_is_gone_when_its_session_is",
    "test_many_workers_on_one_redis_make_as_many_calls_as_one_over_several_lifetimes",
    "test_one_that_comes_back_is_used_again",
    "test_one_that_is_suspended_is_waited_for_once",
    "test_redis_sees_neither_secret_nor_token_nor_key_id_nor_role",
    "test_sixteen_cold_processes_on_one_redis_make_one_call",
    "test_tls_is_spoken_with_a_server_of_a_known_ca",
    "test_waiting_ends_once_a_rival_has_stored_something",
    "test_what_was_kept_before_one_was_full_is_not_lost",
    "test_whoever_waits_fetches_once_the_holder_is_killed",
    "test_whoever_was_overtaken_does_not_free_the_lock_of_the_next_one",
    "test_whoever_was_overtaken_does_not_replace_what_the_next_one_stored",
    "waits",
]


def test_it_is_the_redis_on_the_path(server: RedisServer) -> None:
    assert server.program.endswith("/redis-server")
