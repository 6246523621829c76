"""Every derived table."""

from __future__ import annotations

from engage.lake.derived.profile_states import PROFILE_STATES
from engage.lake.derived.user_days import USER_DAYS
from engage.lake.derived.user_labels import USER_LABELS

__all__ = ["TABLES"]

TABLES = (USER_DAYS, USER_LABELS, PROFILE_STATES)
