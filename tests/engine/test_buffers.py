"""Buffers keep their promises: first come, first served; nothing lost; nobody out of turn."""

from __future__ import annotations

import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from wsesim.engine.simulate import Credits, Mailbox, Turnstile

few = settings(deadline=None, max_examples=100)


@pytest.fixture
def env() -> simpy.Environment:
    return simpy.Environment()


# Credits


def test_room_that_is_there_is_given_at_once(env: simpy.Environment) -> None:
    room = Credits(env, 10)
    assert room.take(4) is None
    assert room.take(6) is None
    assert room.free == 0


def test_who_finds_no_room_waits_until_enough_is_given_back(env: simpy.Environment) -> None:
    room = Credits(env, 10)
    assert room.take(10) is None
    wanted = room.take(5)
    assert wanted is not None
    room.give(4)
    assert not wanted.triggered
    room.give(1)
    assert wanted.triggered
    assert room.free == 0


def test_a_small_request_does_not_overtake_a_large_one(env: simpy.Environment) -> None:
    room = Credits(env, 10)
    room.take(8)
    large, small = room.take(6), room.take(1)
    assert large is not None
    assert small is not None
    assert not small.triggered  # there is room for it, but it is not its turn
    room.give(8)
    assert large.triggered
    assert small.triggered
    assert room.free == 3


@few
@given(st.lists(st.integers(1, 10), max_size=30), st.data())
def test_credits_are_granted_in_order_and_none_is_lost(sizes: list[int], data: st.DataObject) -> None:
    room = Credits(simpy.Environment(), 10)
    asked = [(size, room.take(size)) for size in sizes]
    given_back = 0
    while given_back < len(asked):
        granted = [event is None or event.triggered for _, event in asked]
        assert granted == sorted(granted, reverse=True)  # nobody before an earlier one
        held = sum(size for (size, _), yes in zip(asked[given_back:], granted[given_back:], strict=True) if yes)
        assert room.free == 10 - held
        assert 0 <= room.lowest_free <= room.free
        back = data.draw(st.integers(1, sum(granted) - given_back))
        for size, _ in asked[given_back : given_back + back]:
            room.give(size)
        given_back += back
    assert room.free == room.capacity


# Mailbox


def test_letters_are_read_in_the_order_in_which_they_came(env: simpy.Environment) -> None:
    box = Mailbox(env)
    for letter in "abc":
        box.put(letter)
    assert list(box.items) == ["a", "b", "c"]


def test_a_reader_that_waits_gets_the_next_letter(env: simpy.Environment) -> None:
    box = Mailbox(env)
    event = box.wait()
    assert not event.triggered
    box.put("late")
    assert event.value == "late"
    assert not box.items


def test_a_letter_can_be_what_an_event_brings(env: simpy.Environment) -> None:
    box = Mailbox(env)
    arrival = env.timeout(1.0, "after the way")
    arrival.callbacks.append(box.put_value)
    env.run()
    assert list(box.items) == ["after the way"]


@few
@given(st.lists(st.booleans(), max_size=40))
def test_every_letter_is_read_once_and_in_order(puts: list[bool]) -> None:
    env = simpy.Environment()
    box, read, written = Mailbox(env), [], 0
    waiting: simpy.Event | None = None
    for is_put in puts:
        if is_put:
            box.put(written)
            written += 1
            if waiting is not None:
                read.append(waiting.value)
                waiting = None
        elif box.items:
            read.append(box.items.popleft())
        elif waiting is None:
            waiting = box.wait()
    assert [*read, *box.items] == list(range(written))


# Turnstile


def test_the_first_ticket_passes_at_once(env: simpy.Environment) -> None:
    assert Turnstile(env).take(0) is None


def test_a_later_ticket_waits_for_all_earlier_ones(env: simpy.Environment) -> None:
    gate = Turnstile(env)
    second = gate.take(2)
    assert gate.take(0) is None
    first = gate.take(1)
    gate.give()
    assert first is not None
    assert second is not None
    assert (first.triggered, second.triggered) == (True, False)
    gate.give()
    assert second.triggered


def test_a_ticket_nobody_asked_for_yet_is_kept(env: simpy.Environment) -> None:
    gate = Turnstile(env)
    gate.take(0)
    gate.give()
    assert gate.take(1) is None


@few
@given(st.permutations(range(8)))
def test_tickets_pass_in_order_however_they_ask(order: list[int]) -> None:
    env = simpy.Environment()
    gate, passed = Turnstile(env), []

    def user(ticket: int, delay_s: float) -> simpy.events.ProcessGenerator:
        yield env.timeout(delay_s)
        turn = gate.take(ticket)
        if turn is not None:
            yield turn
        passed.append(ticket)
        yield env.timeout(0.5)
        gate.give()

    for place, ticket in enumerate(order):
        env.process(user(ticket, float(place)))
    env.run()
    assert passed == sorted(order)
