"""Batches of writes: all share one COMMIT, each call has its own savepoint."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod

from rollbook.db.base import Observer
from rollbook.db.lanes import BatchFailed, Job, calls, run_many, run_one
from rollbook.db.transaction import Transaction


class BatchRunner(ABC):
    """Runs batches on one connection. Each engine defines how its transactions begin and end."""

    @abstractmethod
    def begin(self) -> Transaction:
        """Begin a write transaction."""

    @abstractmethod
    def commit(self) -> None:
        """Commit the transaction durably; raises `BatchFailed` if that fails."""

    @abstractmethod
    def rollback(self) -> None:
        """Undo the whole transaction; never raises."""

    @abstractmethod
    def savepoint(self) -> None:
        """Set the savepoint to which `back_to_savepoint` returns."""

    @abstractmethod
    def release(self) -> None:
        """Release the savepoint and keep the changes since."""

    @abstractmethod
    def back_to_savepoint(self) -> None:
        """Undo the changes since the savepoint and release it. The caller notifies the transaction."""

    def run_batch(self, jobs: list[Job], observer: Observer) -> None:
        """Run every call in a savepoint of its own and COMMIT once for all of them.

        Raises:
            BatchFailed: the transaction failed as a whole; no job may be reported as successful.
        """
        grouped = calls(jobs)
        if len(grouped) == 1 and self._run_as_statement(grouped[0], observer):
            return
        tx = self.begin()
        try:
            if len(grouped) > 1:
                self._run_groups(grouped, tx)
            elif len(jobs) == 1:
                run_one(jobs[0], tx)
                if jobs[0].error is not None:
                    self.rollback()
                    return
            else:
                try:
                    run_many(jobs, tx)
                except BatchFailed:
                    raise
                except Exception:
                    self.rollback()
                    self._run_groups([[job] for job in jobs], self.begin())
            started = time.perf_counter()
            self.commit()
        except BaseException:
            self.rollback()
            raise
        observer.committed(len(jobs), time.perf_counter() - started)

    def _run_as_statement(self, group: list[Job], observer: Observer) -> bool:
        """Run a call that is a single statement without BEGIN and COMMIT. Returns False where that is no
        faster."""
        return False

    def _run_groups(self, grouped: list[list[Job]], tx: Transaction) -> None:
        for group in grouped:
            self.savepoint()
            if len(group) == 1:
                run_one(group[0], tx)
                if group[0].error is None:
                    self.release()
                else:
                    self.back_to_savepoint()
                    tx.forget_held()
                continue
            try:
                run_many(group, tx)
            except BatchFailed:
                raise
            except Exception:
                self.back_to_savepoint()
                tx.forget_held()
                self._run_groups([[job] for job in group], tx)
            else:
                self.release()
