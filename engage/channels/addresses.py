"""Addresses: which are none, and how one is written. The one place that judges them, for all providers.

E-mail by email-validator, phone numbers by libphonenumber's tables. Both come with ``engage[channels]``; without them
a mail address needs its plain form and a number must be E.164 already.
"""

from __future__ import annotations

import re
from functools import lru_cache

from engage.errors import InvalidAddressError
from engage.vocabulary import Channel

__all__ = ["E164", "address_key", "checked_address", "e164", "known_country"]

E164 = r"\+[1-9][0-9]{6,14}"
"""What a number looks like in E.164, as a pattern; ITU-T E.164 allows 15 digits."""

_E164 = re.compile(E164)
_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")  # RFC 5321, 4.1.2
_DOMAIN = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z0-9-]{2,63}")


def checked_address(channel: str, address: str, country: object = None) -> str:
    """An address as a provider is to be given it.

    Args:
        channel: Its channel; only mail and text messages have addresses that can be judged by themselves.
        address: As it is known.
        country: Two letters (ISO 3166-1), for a phone number without its country's code.

    Returns:
        The address, trimmed; a phone number in E.164.

    Raises:
        InvalidAddressError: It is none; nothing needs to be asked of a provider to know.
    """
    text = address.strip()
    if channel == Channel.SMS:
        number = text if _E164.fullmatch(text) else e164(text, country)
        # Whether a number has a length that its country has follows from its first digits and its length.
        if number is None or not _has_a_length(number[:7], len(number)):
            raise InvalidAddressError(
                "the address is not a phone number", where="sms", hint="write it as +4915112345678"
            )
        return number
    if channel == Channel.EMAIL and not _is_mail(text):
        raise InvalidAddressError("the address is not an e-mail address", where="email", hint="write name@example.com")
    if not text and channel != Channel.WEBHOOK:
        raise InvalidAddressError("the address is empty", where=channel)
    return text


def address_key(channel: str, address: str, country: object = None) -> str:
    """An address as it is compared: trimmed, in lower case for e-mail, in E.164 for a phone number that is one.

    Args:
        channel: Its channel.
        address: As it is known.
        country: For a phone number without its country's code.
    """
    text = address.strip()
    if channel == Channel.EMAIL:
        return text.lower()
    return (e164(text, country) or text) if channel == Channel.SMS else text


@lru_cache(maxsize=65_536)
def e164(number: str, country: object = None) -> str | None:
    """A phone number in E.164; None where it is none.

    Args:
        number: As people write it.
        country: Two letters (ISO 3166-1) of whoever wrote it; where they are none that is known, the number needs its
            country's code.
    """
    text = number.strip()
    if _E164.fullmatch(text):
        return text
    try:
        import phonenumbers
    except ImportError:  # an extra
        return None
    try:
        found = phonenumbers.parse(text, known_country(country))
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(found) or found.extension:
        return None
    dialled = str(phonenumbers.format_number(found, phonenumbers.PhoneNumberFormat.E164))
    return dialled if _E164.fullmatch(dialled) else None


def known_country(country: object) -> str | None:
    """A country's two letters, in capitals; None where they are none that telephones have."""
    region = country.strip().upper() if isinstance(country, str) else None
    try:
        import phonenumbers
    except ImportError:
        return None
    return region if region in phonenumbers.SUPPORTED_REGIONS else None


@lru_cache(maxsize=65_536)
def _has_a_length(first: str, length: int) -> bool:
    """Whether numbers that begin so may have this length, `+` included.

    Not whether the number was given to anybody: tables of that grow old, and a provider knows better.
    """
    try:
        import phonenumbers
    except ImportError:
        return True
    try:
        found = phonenumbers.parse(first.ljust(length, "5"))
    except phonenumbers.NumberParseException:
        return False
    return bool(phonenumbers.is_possible_number(found))


def _is_mail(text: str) -> bool:
    local, at, domain = text.rpartition("@")
    if at and len(local) <= 64 and _LOCAL.fullmatch(local):
        return _is_domain(domain)
    return _is_odd_mail(text)


@lru_cache(maxsize=65_536)
def _is_domain(domain: str) -> bool:
    if domain == "localhost" or domain.endswith((".localhost", ".local", ".internal")):
        return True  # of one's own network, whose mail goes to a server of one's own
    return _is_odd_mail(f"a@{domain}")


def _is_odd_mail(text: str) -> bool:
    try:
        from email_validator import EmailNotValidError, validate_email
    except ImportError:
        local, _, domain = text.rpartition("@")
        return bool(_LOCAL.fullmatch(local) and _DOMAIN.fullmatch(domain))
    try:
        validate_email(
            text, check_deliverability=False, allow_smtputf8=False, allow_display_name=True, test_environment=True
        )
    except EmailNotValidError:
        return False
    return True
