"""Accounts, transfers between them, and undoing."""

from __future__ import annotations

from dataclasses import dataclass, field


class LedgerError(Exception):
    pass


@dataclass(frozen=True)
class Entry:
    src: str
    dst: str
    amount: int
    note: str = ""


@dataclass
class Account:
    name: str
    balance: int = 0
    limit: int = 0
    entries: list[Entry] = field(default_factory=list)


class Ledger:
    def __init__(self) -> None:
        self._accounts: dict[str, Account] = {}
        self._done: list[Entry] = []
        self._undone: list[Entry] = []

    def open(self, name: str, balance: int = 0, limit: int = 0) -> None:
        if name in self._accounts:
            raise LedgerError(f"{name} exists")
        if limit < 0:
            raise LedgerError("a limit is not negative")
        self._accounts[name] = Account(name, balance, limit)

    def balance(self, name: str) -> int:
        try:
            return self._accounts[name].balance
        except KeyError:
            raise LedgerError(f"no account {name}") from None

    def transfer(self, src: str, dst: str, amount: int, note: str = "") -> Entry:
        if amount <= 0:
            raise LedgerError("amounts are positive")
        if src == dst:
            raise LedgerError("the same account")
        if self.balance(src) - amount < -self._accounts[src].limit:
            raise LedgerError("not enough")
        self.balance(dst)
        entry = Entry(src, dst, amount, note)
        self._apply(entry, 1)
        self._done.append(entry)
        self._undone.clear()
        return entry

    def _apply(self, entry: Entry, sign: int) -> None:
        self._accounts[entry.src].balance -= sign * entry.amount
        self._accounts[entry.dst].balance += sign * entry.amount

    def undo(self) -> Entry | None:
        if not self._done:
            return None
        entry = self._done.pop()
        self._apply(entry, -1)
        self._undone.append(entry)
        return entry

    def redo(self) -> Entry | None:
        if not self._undone:
            return None
        entry = self._undone.pop()
        self._apply(entry, 1)
        self._done.append(entry)
        return entry

    def statement(self, name: str) -> list[str]:
        self.balance(name)
        lines = []
        for entry in self._done:
            if entry.src == name:
                lines.append(f"-{entry.amount} {entry.dst} {entry.note}".rstrip())
            elif entry.dst == name:
                lines.append(f"+{entry.amount} {entry.src} {entry.note}".rstrip())
        return lines

    def close(self, name: str) -> int:
        """Forgets an account; what is left on it is given back."""
        left = self.balance(name)
        if left < 0:
            raise LedgerError("it owes")
        del self._accounts[name]
        self._done = [entry for entry in self._done if name not in (entry.src, entry.dst)]
        self._undone.clear()
        return left

    def total(self) -> int:
        return sum(account.balance for account in self._accounts.values())


def settle(debts: list[Entry]) -> dict[str, int]:
    """What everyone gets in the end; who comes out even is left out."""
    sums: dict[str, int] = {}
    for debt in debts:
        sums[debt.src] = sums.get(debt.src, 0) - debt.amount
        sums[debt.dst] = sums.get(debt.dst, 0) + debt.amount
    return {name: amount for name, amount in sums.items() if amount}
