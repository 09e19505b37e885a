"""Whose turn it is: counted in turns, not in seconds."""

import random

import pytest

from bailiwick.authority.accounts import Caller
from bailiwick.machine.fair_queue import FairQueue, Waiter


class Desk:
    """A queue and everybody who asked it, in the order of their turns."""

    def __init__(self, at_once=1, places=1024):
        self.queue = FairQueue(at_once, places)
        self.waiting, self.running, self.sent_away = {}, {}, {}

    def ask(self, name, network):
        waiter = Waiter(Caller(name, network) if name is not None else None)
        self.waiting[waiter] = None
        waiter.turn.add_done_callback(lambda turn: self._told(waiter, turn.result()))
        self.queue.ask(waiter)
        return waiter

    def turn(self):
        """Whoever has had the turn longest is done; the names of those who have it then."""
        self.leave(next(iter(self.running)))
        return [waiter.name for waiter in self.running]

    def leave(self, waiter):
        del (self.running if waiter in self.running else self.waiting)[waiter]
        self.queue.leave(waiter)

    def turns_until(self, waiter):
        turns = 0
        while waiter not in self.running:
            assert waiter not in self.sent_away
            self.turn()
            turns += 1
            assert turns < 2000
        return turns

    def _told(self, waiter, has_turn):
        del self.waiting[waiter]
        (self.running if has_turn else self.sent_away)[waiter] = None


def nothing_is_left_of(queue):
    kept = ("_running", "_waiting", "_ready", "_behind", "_of_name", "_of_network")
    return not any(vars(queue)[name] for name in kept)


# What one party can send, by number, and a name and a network that the flood has not.
FLOODS = {
    "one name from one address": lambda number: ("mallory", "192.0.2.1"),
    "one name from many addresses": lambda number: ("mallory", f"192.0.2.{number}"),
    "many names from one address": lambda number: (f"mallory {number}", "192.0.2.1"),
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS.keys())
@pytest.mark.parametrize("at_once", [1, 3])
def test_nobody_else_waits_longer_for_a_flood_of_300_than_for_one_check(flood, at_once):
    desk = Desk(at_once)
    for number in range(300):
        desk.ask(*flood(number))
    for number in range(20):
        # The one that runs, and one of the flood that may stand before it.
        assert desk.turns_until(desk.ask(f"honest {number}", f"198.51.100.{number}")) <= 2
        desk.turn()


@pytest.mark.parametrize("flood", ["one name from one address", "one name from many addresses"])
def test_another_name_from_the_network_of_the_flood_does_not_wait_either(flood):
    desk = Desk()
    for number in range(300):
        desk.ask(*FLOODS[flood](number))
    assert desk.turns_until(desk.ask("honest", "192.0.2.1")) <= 2


def test_the_owner_of_a_flooded_name_waits_for_one_check_of_the_stranger_and_not_for_all():
    desk = Desk()
    for _ in range(300):
        desk.ask("ada", "192.0.2.1")
    assert desk.turns_until(desk.ask("ada", "198.51.100.1")) <= 2


def test_twenty_who_come_together_are_served_in_turn_with_the_flood():
    desk = Desk()
    for number in range(300):
        desk.ask("mallory", f"192.0.2.{number}")
    honest = [desk.ask(f"honest {number}", "198.51.100.1") for number in range(20)]
    assert max(desk.turns_until(one) for one in honest) <= 2 * len(honest)


def test_new_names_without_end_starve_nobody():
    desk = Desk()
    desk.ask("mallory", "192.0.2.0")
    slow = [desk.ask("ada", "198.51.100.1") for _ in range(3)]
    for number in range(50):
        desk.ask(f"mallory {number}", "192.0.2.1")
        desk.turn()
    assert all(one.turn.done() for one in slow)


def test_a_name_has_one_thread_at_most_and_the_others_are_left_for_other_names():
    desk = Desk(at_once=4)
    for number in range(10):
        desk.ask("mallory", f"192.0.2.{number}")
    assert len(desk.running) == 1
    assert desk.ask("ada", "192.0.2.1").turn.done()


def test_no_thread_idles_while_somebody_waits_whom_it_could_serve():
    desk = Desk(at_once=3)
    for number in range(6):
        desk.ask(f"person {number}", "192.0.2.1")
    assert len(desk.running) == 3
    desk.turn()
    assert len(desk.running) == 3


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS.keys())
def test_with_all_places_taken_a_flood_gives_up_its_newest_for_whoever_comes(flood):
    desk = Desk(places=640)
    taken = [desk.ask(*flood(number)) for number in range(641)]
    assert not desk.sent_away
    assert desk.ask(*flood(641)) in desk.sent_away  # one more of its own has none to push out
    honest = [desk.ask(f"honest {number}", f"198.51.100.{number}") for number in range(100)]
    assert not set(honest) & set(desk.sent_away)
    assert set(taken) & set(desk.sent_away) == set(taken[-100:])
    assert len(desk.queue) == 640


def test_another_name_finds_a_place_in_a_network_that_one_name_fills():
    # As behind a proxy that is not named, where everybody has one address.
    desk = Desk(places=640)
    for _ in range(1000):
        desk.ask("mallory", "192.0.2.1")
    assert desk.turns_until(desk.ask("honest", "192.0.2.1")) <= 2


def test_new_names_push_out_nobodys_second_try():
    desk = Desk(places=640)
    desk.ask("mallory", "192.0.2.1")
    tries = [desk.ask("ada", "198.51.100.1") for _ in range(3)]
    for number in range(1000):
        desk.ask(f"mallory {number}", f"192.0.2.{number % 50}")
    assert not set(tries) & set(desk.sent_away)


def test_the_operators_own_acts_are_each_a_party_of_its_own():
    desk = Desk(places=640)
    for _ in range(1000):
        desk.ask("mallory", "192.0.2.1")
    acts = [desk.ask(None, "") for _ in range(20)]
    assert max(desk.turns_until(act) for act in acts) <= 2 * len(acts)


def test_whoever_leaves_while_waiting_is_never_served_and_the_next_of_the_name_takes_the_place():
    desk = Desk()
    desk.ask("other", "192.0.2.9")
    first, second = desk.ask("ada", "192.0.2.1"), desk.ask("ada", "192.0.2.2")
    desk.leave(first)
    assert desk.turn() == ["ada"]
    assert second.turn.done()
    assert not first.turn.done()
    desk.turn()
    assert desk.ask("ada", "192.0.2.1").turn.done()


def test_a_thousand_who_hang_up_leave_nothing_behind():
    desk = Desk(places=4096)
    desk.ask("other", "192.0.2.9")
    gone = [desk.ask(f"person {number % 50}", f"192.0.2.{number % 70}") for number in range(1000)]
    for waiter in gone:
        desk.leave(waiter)
    assert len(desk.queue) == 0
    assert desk.turn() == []
    assert nothing_is_left_of(desk.queue)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_the_counts_are_right(seed):
    dice = random.Random(seed)
    desk = Desk(at_once=dice.randint(1, 3), places=40)
    for _ in range(600):
        deed = dice.random()
        if deed < 0.5:
            desk.ask(dice.choice(["a", "a", "a", "b", "c", "d", None]), dice.choice(["x", "y", "z"]))
        elif everybody := [*desk.running, *desk.waiting]:
            desk.leave(next(iter(desk.running)) if deed < 0.8 and desk.running else dice.choice(everybody))
        names = [waiter.name for waiter in desk.running]
        assert len(names) == len(set(names)) <= vars(desk.queue)["_at_once"]
        assert len(desk.queue) == len(desk.waiting) <= 40
        idle = len(names) < vars(desk.queue)["_at_once"]
        assert not idle or all(waiter.name in names for waiter in desk.waiting)
    while desk.running:
        desk.turn()
    assert not desk.waiting
    assert nothing_is_left_of(desk.queue)
