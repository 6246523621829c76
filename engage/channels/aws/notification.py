"""Notifications of Amazon SNS over HTTP: signed with a certificate that has to be fetched from Amazon first.

Source: https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.x509 import load_pem_x509_certificate

from engage.errors import ChannelError

__all__ = ["Notifications", "signed_text"]

_OLDEST = timedelta(hours=24)  # SNS repeats a refused notification for 23 days at the most, mostly within the hour
_ARN = re.compile(r"arn:(aws[a-z-]*):sns:([a-z0-9-]{1,30}):[0-9]{12}:[A-Za-z0-9_.-]{1,256}")
_CERTIFICATE = re.compile(r"/SimpleNotificationService-[0-9A-Za-z]{1,64}\.pem")
_NOTIFICATION = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
_CONFIRMATION = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
_MOST = 8  # certificates kept; Amazon uses one a region and changes it once a year or so


def signed_text(envelope: Mapping[str, Any]) -> bytes:
    """What Amazon signs of an envelope: a line with the name and one with the value of each field, sorted by name."""
    fields = _NOTIFICATION if envelope.get("Type") == "Notification" else _CONFIRMATION
    return "".join(f"{name}\n{envelope[name]}\n" for name in fields if envelope.get(name) is not None).encode()


class Notifications:
    """Reads the envelopes of one topic.

    Args:
        topic: Its ARN. An envelope of another topic is refused: anybody with an account could sign one.
    """

    def __init__(self, topic: str) -> None:
        found = _ARN.fullmatch(topic)
        ending = "amazonaws.com.cn" if found and found[1] == "aws-cn" else "amazonaws.com"
        self._topic = topic
        self._host = f"sns.{found[2]}.{ending}" if found else ""
        self._keys: dict[str, tuple[RSAPublicKey, datetime]] = {}

    def certificate(self, callback: httpx.Request, now: datetime) -> httpx.Request | None:
        """The request that fetches the certificate a callback is signed with; None while it is known.

        Raises:
            ChannelError: The envelope is none, of another topic or too old, or names a certificate that is not
                Amazon's.
        """
        envelope = self._envelope(callback, now)
        url = str(envelope["SigningCertURL"])
        known = self._keys.get(url)
        return None if known and now < known[1] else httpx.Request("GET", url)

    def certified(self, request: httpx.Request, response: httpx.Response, now: datetime) -> None:
        """Take a certificate.

        Raises:
            ChannelError: There is none, or it is not valid now.
        """
        try:
            certificate = load_pem_x509_certificate(response.content) if response.status_code == 200 else None
        except ValueError:
            certificate = None
        key = certificate.public_key() if certificate else None
        if certificate is None or not isinstance(key, RSAPublicKey):
            raise ChannelError("the certificate cannot be had", where="sns")
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            raise ChannelError("the certificate is not valid now", where="sns")
        while len(self._keys) >= _MOST:
            self._keys.pop(next(iter(self._keys)))
        self._keys[str(request.url)] = (key, certificate.not_valid_after_utc)

    def verified(self, callback: httpx.Request, now: datetime) -> Mapping[str, Any]:
        """An envelope whose signature is right.

        Raises:
            ChannelError: It is not, or its certificate was not fetched.
        """
        envelope = self._envelope(callback, now)
        known = self._keys.get(str(envelope["SigningCertURL"]))
        if known is None:
            raise ChannelError("the callback's certificate is not known", where="sns")
        version = str(envelope.get("SignatureVersion"))
        if version not in ("1", "2"):
            raise ChannelError("the callback is signed in a way that is not known", where="sns")
        # Version 1 is SHA-1 by Amazon's own definition; whoever wants SHA-256 sets the topic's SignatureVersion to 2.
        method = SHA256() if version == "2" else SHA1()
        try:
            signature = base64.b64decode(str(envelope.get("Signature", "")), validate=True)
            known[0].verify(signature, signed_text(envelope), PKCS1v15(), method)
        except (InvalidSignature, binascii.Error, ValueError) as error:
            raise ChannelError("the callback's signature is missing or wrong", where="sns") from error
        return envelope

    def confirmation(self, callback: httpx.Request, now: datetime) -> httpx.Request | None:
        """The request that accepts a subscription to the topic, where a verified callback offers one.

        Raises:
            ChannelError: The callback is not Amazon's, or the address is not.
        """
        envelope = self.verified(callback, now)
        if envelope.get("Type") != "SubscriptionConfirmation":
            return None
        try:
            url = httpx.URL(str(envelope.get("SubscribeURL", "")))
        except httpx.InvalidURL:
            url = httpx.URL("")
        if not self._amazon(url):
            raise ChannelError("the subscription is not confirmed at Amazon", where="sns")
        return httpx.Request("GET", url)

    def _envelope(self, callback: httpx.Request, now: datetime) -> Mapping[str, Any]:
        """An envelope that is worth fetching a certificate for."""
        try:
            envelope = json.loads(callback.read())
            moment = datetime.fromisoformat(str(envelope["Timestamp"]))
            url = httpx.URL(str(envelope["SigningCertURL"]))
        except (ValueError, TypeError, KeyError, RecursionError, httpx.InvalidURL) as error:
            raise ChannelError("the callback is not what Amazon SNS sends", where="sns") from error
        if not self._host or envelope.get("TopicArn") != self._topic:
            raise ChannelError("the callback is of another topic", where="sns")
        if abs(now - (moment if moment.tzinfo else moment.replace(tzinfo=UTC))) > _OLDEST:
            raise ChannelError("the callback is too old", where="sns")
        if not self._amazon(url) or not _CERTIFICATE.fullmatch(url.path) or url.query:
            raise ChannelError("the callback's certificate is not Amazon's", where="sns")
        found: Mapping[str, Any] = envelope
        return found

    def _amazon(self, url: httpx.URL) -> bool:
        """Whether an address is of the topic's own endpoint, over TLS, and of nobody who is named like it."""
        return url.scheme == "https" and url.host == self._host and url.port is None and not url.userinfo
