"""Accounts, links, sessions and the throttle, over a clock that the test moves."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from engage.access.accounts import Accounts
from engage.access.roles import Role
from engage.access.sessions import Sessions, Throttle
from engage.access.store import Store
from engage.errors import AccessError

PASSWORD = "correct horse battery staple"


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Store:
    return Store(tmp_path / "access.sqlite", clock=clock)


def test_the_first_person_becomes_admin_and_only_the_first(store: Store) -> None:
    accounts = Accounts(store)
    old, token = accounts.first_link(), accounts.first_link()
    assert old
    assert token
    with pytest.raises(AccessError, match="used already or is too old"):
        accounts.accept(old, PASSWORD, "eve@example.com")
    ada = accounts.accept(token, PASSWORD, "ada@example.com", "Ada")
    assert (ada.role, ada.name, ada.signs_in) == (Role.ADMIN, "Ada", "password")
    assert accounts.first_link() is None
    with pytest.raises(AccessError, match="used already"):
        accounts.accept(token, PASSWORD, "eve@example.com")


def test_a_first_link_opens_nothing_once_there_is_an_admin_by_another_way(store: Store) -> None:
    accounts = Accounts(store)
    token = accounts.first_link()
    assert token
    accounts.add("ada@example.com", Role.ADMIN)
    with pytest.raises(AccessError, match="an admin already"):
        accounts.accept(token, PASSWORD, "eve@example.com")


def test_a_link_is_good_once_for_a_day_and_signs_out_everywhere(store: Store, clock: Clock) -> None:
    accounts, sessions = Accounts(store), Sessions(store)
    bob = accounts.add("bob@example.com", Role.ANALYST)
    assert accounts.verify("bob@example.com", "") is None, "no password yet"
    token = accounts.link("BOB@example.com")
    accounts.accept(token, PASSWORD)
    session = sessions.begin(bob)
    assert sessions.person(session)
    late = accounts.link("bob@example.com")
    clock.now += 24 * 3600
    with pytest.raises(AccessError, match="too old"):
        accounts.linked(late)
    session = sessions.begin(bob)
    accounts.accept(accounts.link("bob@example.com"), PASSWORD + "!")
    assert sessions.person(session) is None
    assert accounts.verify("bob@example.com", PASSWORD) is None
    found = accounts.verify("Bob@Example.com", PASSWORD + "!")
    assert found is not None
    assert found.id == bob.id


@pytest.mark.parametrize("password", ["short", "aaaaaaaaaaaaaaaa", "bob@example.com", "x" * 1025])
def test_weak_passwords_are_refused_and_the_link_stays_good(store: Store, password: str) -> None:
    accounts = Accounts(store)
    accounts.add("bob@example.com", Role.VIEWER)
    token = accounts.link("bob@example.com")
    with pytest.raises(AccessError):
        accounts.accept(token, password)
    assert accounts.accept(token, PASSWORD).email == "bob@example.com"


@pytest.mark.parametrize(
    "email", ["", "ada", "@example.com", "ada@", "a b@example.com", '"><script>@x.y', "a" * 251 + "@x.y"]
)
def test_what_is_no_address_is_refused(store: Store, email: str) -> None:
    with pytest.raises(AccessError, match="not an e-mail address"):
        Accounts(store).add(email, Role.VIEWER)


def test_somebody_is_always_left_to_administer(store: Store) -> None:
    accounts = Accounts(store)
    accounts.add("ada@example.com", Role.ADMIN)
    accounts.add("bob@example.com", Role.VIEWER)
    for act in (lambda: accounts.remove("ada@example.com"), lambda: accounts.set_role("ada@example.com", Role.SENDER)):
        with pytest.raises(AccessError, match="nobody would be left"):
            act()
    assert [one.role for one in accounts.all()] == [Role.ADMIN, Role.VIEWER]
    accounts.set_role("bob@example.com", Role.ADMIN)
    accounts.remove("ada@example.com")
    assert [one.email for one in accounts.all()] == ["bob@example.com"]


def test_sessions_end_when_idle_when_old_and_with_the_account(store: Store, clock: Clock) -> None:
    accounts, sessions = Accounts(store), Sessions(store)
    ada = accounts.add("ada@example.com", Role.SENDER)
    idle, old = sessions.begin(ada), sessions.begin(ada)
    for _ in range(11):
        clock.now += 3600
        found = sessions.person(old)
        assert found is not None
        assert found.role is Role.SENDER
    assert sessions.person(idle) is None, "two hours idle"
    clock.now += 3600
    assert sessions.person(old) is None, "twelve hours in all"
    watched = sessions.begin(ada)
    clock.now += 3600
    assert sessions.person(watched, active=False)
    clock.now += 3600
    assert sessions.person(watched) is None, "looking on is no activity"
    last = sessions.begin(ada)
    accounts.add("bob@example.com", Role.ADMIN)
    accounts.remove("ada@example.com")
    assert sessions.person(last) is None


def test_signing_in_ends_whatever_session_the_browser_brought(store: Store) -> None:
    accounts, sessions = Accounts(store), Sessions(store)
    eve, ada = accounts.add("eve@example.com", Role.VIEWER), accounts.add("ada@example.com", Role.ADMIN)
    planted = sessions.begin(eve)
    fresh = sessions.begin(ada, instead_of=planted)
    assert fresh != planted
    assert sessions.person(planted) is None


def test_the_file_is_its_owners_and_holds_nothing_that_opens_a_door(store: Store, tmp_path: Path) -> None:
    accounts, sessions = Accounts(store), Sessions(store)
    ada = accounts.add("ada@example.com", Role.ADMIN)
    link = accounts.link("ada@example.com")
    accounts.accept(link, PASSWORD)
    opened = [accounts.link("ada@example.com"), sessions.begin(ada)]
    with store.reading():
        for file in tmp_path.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file.name
            content = file.read_bytes()
            assert not any(secret.encode() in content for secret in (*opened, PASSWORD))


def test_guessing_is_slowed_for_an_address_from_a_place(store: Store, clock: Clock) -> None:
    throttle = Throttle(store)
    for _ in range(5):
        assert throttle.wait("ada@example.com", "10.0.0.1") == 0
    assert 0 < throttle.wait("ADA@example.com", "10.0.0.1") <= 15 * 60 + 1
    assert Throttle(store).wait("ada@example.com", "10.0.0.1") > 0, "starting anew forgives nothing"
    assert throttle.wait("ada@example.com", "10.0.0.2") == 0, "her own place is not shut by a stranger's guesses"
    clock.now += 15 * 60 + 1
    assert throttle.wait("ada@example.com", "10.0.0.1") == 0


def test_guessing_is_slowed_over_many_addresses_and_many_places(store: Store) -> None:
    throttle = Throttle(store)
    assert all(throttle.wait(f"u{n}@example.com", "10.0.0.1") == 0 for n in range(50))
    assert throttle.wait("another@example.com", "10.0.0.1") > 0
    assert all(throttle.wait("ada@example.com", f"10.0.1.{n}") == 0 for n in range(50))
    assert throttle.wait("ada@example.com", "10.0.2.1") > 0


def test_a_right_password_is_no_guess(store: Store) -> None:
    throttle = Throttle(store)
    for _ in range(60):
        assert throttle.wait("ada@example.com", "10.0.0.1") == 0
        throttle.forgive("ada@example.com", "10.0.0.1")


def test_an_identity_providers_word_is_taken_for_its_own_people_only(store: Store) -> None:
    accounts = Accounts(store)
    with pytest.raises(AccessError, match="no account here"):
        accounts.from_oidc("https://id", "1", "ada@example.com", "Ada")
    accounts.add("ada@example.com", Role.SENDER)
    ada = accounts.from_oidc("https://id", "1", "ada@example.com", "Ada", default=Role.VIEWER)
    assert (ada.role, ada.signs_in) == (Role.SENDER, "oidc"), "made before, and not made less by a default"
    with pytest.raises(AccessError):
        accounts.from_oidc("https://id", "2", "ada@example.com", "another Ada"), "her address is taken"
    assert accounts.from_oidc("https://id", "1", "", "Ada").id == ada.id, "known by her subject"
    assert accounts.from_oidc("https://id", "1", "", "Ada", role=Role.ADMIN).role is Role.ADMIN, "groups decide"
    with pytest.raises(AccessError):
        accounts.from_oidc("https://id", "3", "", "Unverified", default=Role.VIEWER)
    assert accounts.from_oidc("https://id", "3", "new@example.com", "New", default=Role.VIEWER).role is Role.VIEWER
