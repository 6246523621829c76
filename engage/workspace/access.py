"""People who sign in: their accounts and roles, and what was done by whom."""

from __future__ import annotations

import duckdb
import polars as pl

from engage.access.accounts import Account, Accounts
from engage.access.audit import AuditLog
from engage.access.roles import Right, Role
from engage.access.store import Store
from engage.errors import QueryError
from engage.workspace.base import Base
from engage.workspace.guarding import guarded

__all__ = ["AccessFace"]

_LOCKED: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "python_enable_replacements": "false",
    "lock_configuration": "true",
}


class AccessFace(Base):
    """What keeps accounts and shows the audit log."""

    @property
    def _accounts(self) -> Accounts:
        return Accounts(Store(self.settings.access))

    @guarded(Right.ADMINISTER)
    def accounts(self) -> list[Account]:
        """Everybody who may sign in, by address."""
        return self._accounts.all()

    @guarded(Right.ADMINISTER, "account.first_link")
    def first_admin_link(self) -> str | None:
        """Make the link by which the first person becomes an admin.

        Returns:
            Its path, ``/link/…``: good for a day, once, and voiding the one before; None where there is an admin.
        """
        token = self._accounts.first_link()
        return f"/link/{token}" if token else None

    @guarded(Right.ADMINISTER, "account.add", keep=("role",))
    def add_account(self, email: str, *, role: Role, name: str = "") -> str:
        """Make an account.

        Args:
            email: The person's address, by which they sign in.
            role: What they may do; see :data:`engage.access.roles.RIGHTS`.
            name: What others see.

        Returns:
            The path of a link that sets their password, ``/link/…``: good for a day, once.

        Raises:
            AccessError: It is no address, or somebody has it.
        """
        return "/link/" + self._accounts.link(self._accounts.add(email, role, name).email)

    @guarded(Right.ADMINISTER, "account.role", keep=("role",))
    def set_role(self, email: str, *, role: Role) -> Account:
        """Let a person do more or less, from now on, also where they are signed in.

        Raises:
            AccessError: There is no such person, or nobody would be left to administer.
        """
        return self._accounts.set_role(email, role)

    @guarded(Right.ADMINISTER, "account.remove")
    def remove_account(self, email: str) -> Account:
        """Take a person's account away and sign them out everywhere.

        Raises:
            AccessError: There is no such person, or nobody would be left to administer.
        """
        return self._accounts.remove(email)

    @guarded(Right.ADMINISTER, "account.link")
    def account_link(self, email: str) -> str:
        """Make a new link for a person who forgot their password, or let the first one grow old.

        Returns:
            Its path, ``/link/…``; links made before open nothing any more.

        Raises:
            AccessError: There is no such person.
        """
        return "/link/" + self._accounts.link(email)

    @guarded(Right.ADMINISTER)
    def audit(self, query: str = "select * from audit order by done_at") -> pl.DataFrame:
        """Ask the audit log.

        Args:
            query: A select over ``audit``: `done_at` (UTC), `who`, `role`, `via`, `what`, `object`, `outcome`, `detail`
                (JSON), one row an act. An `outcome` of '' is an act that began; it may have another row that failed.

        Raises:
            QueryError: The SQL is wrong.
        """
        connection = duckdb.connect(config=_LOCKED)
        try:
            statements = connection.extract_statements(query)
            if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
                raise QueryError("this is not one select", where="audit", hint="write one select over audit")
            connection.register("audit", AuditLog(self.settings.audit).frame())
            return connection.sql(query).pl()
        except duckdb.Error as error:
            raise QueryError(str(error).split("\n", 1)[0], where="audit", hint="write one select") from error
        finally:
            connection.close()

    @guarded(Right.ADMINISTER)
    def check_audit(self) -> list[str]:
        """Where the audit log is not as it was written; empty when it is."""
        return AuditLog(self.settings.audit).faults()
