"""Addresses: libphonenumber and email-validator as references; what a plan and a send make of those that are none."""

from __future__ import annotations

import string
from datetime import UTC, datetime, timedelta
from typing import Any

import phonenumbers
import pyarrow as pa
import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import example, given
from hypothesis import strategies as st

import engage
from engage.channels.addresses import address_key, checked_address, e164
from engage.errors import ConfigurationError, InvalidAddressError
from engage.lake.schema import DATASETS

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def is_good(channel: str, address: str, country: str | None = None) -> bool:
    try:
        checked_address(channel, address, country)
    except InvalidAddressError:
        return False
    return True


@pytest.mark.parametrize(
    ("written", "country", "dialled"),
    [
        ("+49 151 12345678", None, "+4915112345678"),
        ("0151/12345678", "DE", "+4915112345678"),
        ("0151 12345678", "de ", "+4915112345678"),
        ("0049 151 12345678", "DE", "+4915112345678"),
        ("(650) 555-1212", "US", "+16505551212"),
        ("06 12 34 56 78", "FR", "+33612345678"),
        ("06 1234 5678", "IT", "+390612345678"),  # Italy keeps the zero
        ("8 912 345-67-89", "RU", "+79123456789"),
        ("0151 12345678", None, None),
        ("0151 12345678", "Germany", None),
        ("+1999", None, None),
        ("call me", "DE", None),
        ("", "DE", None),
    ],
)
def test_numbers_as_people_write_them(written: str, country: str | None, dialled: str | None) -> None:
    assert e164(written, country) == dialled


@given(st.sampled_from(sorted(phonenumbers.SUPPORTED_REGIONS)), st.booleans())
def test_every_countrys_example_is_understood_in_each_of_its_forms(region: str, mobile: bool) -> None:
    kind = phonenumbers.PhoneNumberType.MOBILE if mobile else phonenumbers.PhoneNumberType.FIXED_LINE
    number = phonenumbers.example_number_for_type(region, kind)
    if number is None:
        return
    forms = phonenumbers.PhoneNumberFormat
    dialled = phonenumbers.format_number(number, forms.E164)
    for form in (forms.INTERNATIONAL, forms.NATIONAL, forms.RFC3966):
        assert e164(phonenumbers.format_number(number, form), region) == dialled
    assert checked_address("sms", dialled) == dialled


@given(st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True))
@example("+4915112345678")
@example("+1999999")
def test_a_number_is_refused_by_its_length_as_libphonenumber_does(number: str) -> None:
    try:
        possible = phonenumbers.is_possible_number(phonenumbers.parse(number))
    except phonenumbers.NumberParseException:
        possible = False
    if is_good("sms", number) != possible:  # a trunk prefix behind the country's code is the one thing not looked at
        parsed = phonenumbers.parse(number)
        assert phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164) != number


_MAIL = st.text(string.ascii_letters + string.digits + '.-_+@ "<>é\n', max_size=40)


@given(_MAIL | st.tuples(_MAIL, _MAIL).map("@".join) | st.emails())
@example("a@example.com")
@example("Ada <ada@example.com>")
@example("a@b..com")
@example(".a@example.com")
@example("a@-b.com")
@example("a@bücher.example")
@example("é@example.com")
@example("x" * 65 + "@example.com")
def test_mail_addresses_are_those_of_email_validator(address: str) -> None:
    try:
        validate_email(
            address.strip(),
            check_deliverability=False,
            allow_smtputf8=False,
            allow_display_name=True,
            test_environment=True,
        )
        valid = True
    except EmailNotValidError:
        valid = False
    assert is_good("email", address) == valid


def test_mail_of_ones_own_network_goes_to_ones_own_server() -> None:
    assert is_good("email", "ada@localhost")
    assert is_good("email", "ada@mail.internal")
    assert is_good("email", "ada@shop.test")
    assert not is_good("email", "ada@nowhere.invalid")


def test_addresses_are_compared_as_they_are_dialled() -> None:
    assert address_key("sms", " 0151 12345678", "DE") == "+4915112345678"
    assert address_key("sms", "junk", "DE") == "junk"
    assert address_key("email", " Ada@Example.COM ") == "ada@example.com"
    assert address_key("push", " Token ") == "Token"


@pytest.fixture
def people(workspace: engage.Workspace) -> engage.Workspace:
    file = workspace.root / "pyproject.toml"
    file.write_text(file.read_text().replace("[tool.engage]", '[tool.engage]\ncountry = "DE"', 1))
    rows: list[dict[str, Any]] = [
        {"user_id": "german", "phone": "0151 12345678", "email": "german@example.com"},
        {"user_id": "french", "phone": "06 12 34 56 78", "country": "FR", "email": "french@@example.com"},
        {"user_id": "american", "phone": "+16505551212", "email": " american@Example.com "},
        {"user_id": "wrong", "phone": "12", "email": "wrong"},
        {"user_id": "short", "phone": "+1999999", "email": "short@example.com"},
        {"user_id": "none", "name": "None", "phone": " "},
    ]
    workspace.land_profiles(rows, now=NOON - timedelta(days=2))
    return engage.Workspace.open(workspace.root)


def test_texts_go_to_the_number_of_each_ones_country(people: engage.Workspace) -> None:
    summary = people.create_campaign("news", {"channel": "sms", "everyone": True, "content": {"body": "Hi"}}).send(NOON)
    assert summary.counts() == {"sent": 3, "excluded:no_address": 1, "failed:invalid_address": 2}
    rows = people.sql(
        "select audiences.user_id, address, event_name, notifications.reason from audiences "
        "join notifications using (message_id) where notifications.run_id = 'news-once' order by 1"
    )
    sent, failed = "Notification Sent", "Notification Failed"
    assert rows.rows() == [
        ("american", "+16505551212", sent, None),
        ("french", "+33612345678", sent, None),
        ("german", "+4915112345678", sent, None),
        ("short", "+1999999", failed, "invalid_address"),
        ("wrong", "12", failed, "invalid_address"),
    ]
    assert people.suppressions().height == 0, "who mends their number is written to again"


def test_mail_goes_to_addresses_alone(people: engage.Workspace) -> None:
    values = {"channel": "email", "everyone": True, "content": {"subject": "Hi", "text": "Hello"}}
    summary = people.create_campaign("news", values).send(NOON)
    assert summary.counts() == {"sent": 3, "excluded:no_address": 1, "failed:invalid_address": 2}


def test_a_stop_by_text_is_found_however_the_number_was_written(people: engage.Workspace) -> None:
    people.suppress("sms", ["0151 12345678", "+33 6 12345678"], reason="stop", now=NOON - timedelta(days=1))
    assert sorted(people.suppressions("sms").select("address", "user_id").rows()) == [
        ("+33612345678", "french"),
        ("+4915112345678", "german"),
    ]
    opened = people.create_campaign("news", {"channel": "sms", "everyone": True, "content": {"body": "Hi"}})
    assert opened.plan(NOON).counts.excluded == {"no_address": 1, "unsubscribed": 2}
    values = {"channel": "sms", "everyone": True, "content": {"body": "Hi"}, "transactional": True}
    assert people.create_campaign("code", values).plan(NOON).counts.excluded == {"no_address": 1, "suppressed": 2}
    reachable = people.sql("select user_id from reachable where channel = 'sms' order by 1")["user_id"].to_list()
    assert reachable == ["american", "short", "wrong"]


def test_tokens_are_used_in_their_own_environment(people: engage.Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def device(user: str, token: str, environment: str | None, platform: str | None, days: int) -> dict[str, Any]:
        at = NOON - timedelta(days=days)
        row = {"change_id": token, "user_id": user, "changed_at": at, "received_at": at, "channel": "push"}
        return row | {"platform": platform, "token": token, "environment": environment, "active": True, "source": "t"}

    rows = [
        device("german", "aa", "sandbox", "ios", 2),
        device("french", "bb", "production", "ios", 3),
        device("french", "cc", "sandbox", "ios", 2),
        device("american", "dd", None, None, 2),
        device("short", "ee", None, "android", 2),
    ]
    people.lake.land("devices", pa.Table.from_pylist(rows, schema=DATASETS["devices"].schema))
    opened = people.create_campaign("news", {"channel": "push", "everyone": True, "content": {"body": "Hi"}})

    def addresses(settings: str) -> dict[str, str]:
        file = people.root / "pyproject.toml"
        before = file.read_text()
        file.write_text(f"{before}\n[tool.engage.channels.push]\n{settings}")
        workspace = engage.Workspace.open(people.root)
        file.write_text(before)
        workspace.campaign("news").plan(NOON)
        return dict(workspace.sql("select user_id, address from audiences where planned = 'send'").rows())

    opened.plan(NOON)
    own = 'team_id = "T"\nkey_id = "K"\ntopic = "app"\n'
    assert addresses(f'provider = "apns"\n{own}') == {"french": "bb", "american": "dd"}
    assert addresses(f'provider = "apns"\nenvironment = "sandbox"\n{own}') == {
        "german": "aa",
        "french": "cc",
        "american": "dd",
    }
    assert len(addresses('provider = "outbox"')) == 4


def test_a_country_that_is_none_is_refused(workspace: engage.Workspace) -> None:
    file = workspace.root / "pyproject.toml"
    file.write_text(file.read_text().replace("[tool.engage]", '[tool.engage]\ncountry = "Germany"', 1))
    with pytest.raises(ConfigurationError, match=r"country = 'Germany' is not two letters"):
        engage.Workspace.open(workspace.root).sql("select 1 as one")
