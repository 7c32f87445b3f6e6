"""Automata over decimal digits, which match the patterns of numbering plans with all numbers of a length at
once.

The result for ALL numbers of one length is a few runs of neighbours. `Recognizer` finds which of many
patterns match whole numbers, `PrefixReader` where a match at the beginning ends and what its groups contain.
Both are exact: they follow every digit, but follow each set of states only once.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Generic, NamedTuple, TypeVar

from rollbook.phones.plans.patterns import (
    ANY_DIGIT,
    CapturingGroup,
    Choice,
    Digit,
    End,
    Node,
    Repeat,
    Series,
    UnknownPattern,
    groups_of,
    parse,
)

Name = TypeVar("Name", bound=Hashable)
Value = TypeVar("Value", bound=Hashable)

Run = tuple[int, Value]
"""A count of consecutive numbers, and the value of each of them."""


class Match(NamedTuple):
    """Where a pattern matched at the beginning of a number.

    Args:
        end: the number of digits that it covers.
        groups: first digit and end of each capturing group, counted from 0; `None` for a group without a
            match.
    """

    end: int
    groups: tuple[tuple[int, int] | None, ...]


_PLAIN = -1
_AT_END = -2


class _States:
    """A nondeterministic automaton, built piece by piece (Thompson's construction).

    Each state has at most one move by a digit, and jumps without a digit, the preferred ones first. A jump
    has a mark: nothing, "only at the end", or the slot of the group's edge that it crosses.
    """

    def __init__(self) -> None:
        self.moves: list[tuple[int, int] | None] = []
        self.jumps: list[list[tuple[int, int]]] = []

    def new(self) -> int:
        self.moves.append(None)
        self.jumps.append([])
        return len(self.moves) - 1

    def add(self, node: Node, start: int) -> int:
        """Add states that read `node` from the state `start` on; returns the state after it."""
        match node:
            case Digit(allowed):
                end = self.new()
                state = self._jumped(start)
                self.moves[state] = (allowed, end)
                return end
            case End():
                return self._jumped(start, _AT_END)
            case Series(parts):
                for part in parts:
                    start = self.add(part, start)
                return start
            case Choice(options):
                end = self.new()
                for option in options:
                    self.jumps[self.add(option, self._jumped(start))].append((end, _PLAIN))
                return end
            case Repeat(part, least, most):
                for _ in range(least):
                    start = self.add(part, start)
                end = self.new()
                for _ in range(most - least):
                    inside = self._jumped(start)  # preferred: a repetition is greedy
                    self.jumps[start].append((end, _PLAIN))
                    start = self.add(part, inside)
                self.jumps[start].append((end, _PLAIN))
                return end
            case CapturingGroup(number, part):
                inside = self._jumped(start, 2 * number - 2)
                return self._jumped(self.add(part, inside), 2 * number - 1)

    def _jumped(self, start: int, mark: int = _PLAIN) -> int:
        end = self.new()
        self.jumps[start].append((end, mark))
        return end


class Recognizer(Generic[Name]):
    """Finds which patterns match whole numbers.

    Args:
        patterns: pairs of a name and a pattern.
        prefixes: the same for patterns that match if they match any beginning of the number.

    Raises:
        UnknownPattern: a pattern cannot be read.
    """

    def __init__(
        self, patterns: Iterable[tuple[Name, str]], prefixes: Iterable[tuple[Name, str]] = ()
    ) -> None:
        self._states = _States()
        self._names: dict[int, Name] = {}
        starts = []
        for whole, named in ((True, patterns), (False, prefixes)):
            for name, pattern in named:
                start = self._states.new()
                end = self._states.add(parse(pattern), start)
                if not whole:
                    end = self._states._jumped(end)
                    self._states.moves[end] = (ANY_DIGIT, end)
                starts.append(start)
                self._names[end] = name
        if any(mark == _AT_END for jumps in self._states.jumps for _, mark in jumps):
            raise UnknownPattern("$ in a pattern for whole numbers")
        self._start = self._closure(starts)
        self._accepting = frozenset(self._names)
        self._next: dict[frozenset[int], tuple[frozenset[int], ...]] = {}

    def runs(self, length: int, value: Callable[[frozenset[Name]], Value]) -> Sequence[Run[Value]]:
        """All numbers of `length` digits in ascending order, in runs of the same value.

        Args:
            value: returns the value of a number that matches exactly the patterns with these names.
        """
        values: dict[frozenset[int], Value] = {}
        followed: dict[tuple[frozenset[int], int], Sequence[Run[Value]]] = {}

        def value_at(states: frozenset[int]) -> Value:
            accepted = states & self._accepting
            if accepted not in values:
                values[accepted] = value(frozenset(self._names[state] for state in accepted))
            return values[accepted]

        def follow(states: frozenset[int], left: int) -> Sequence[Run[Value]]:
            if left == 0 or not states:
                return ((10**left, value_at(states)),)
            if (found := followed.get((states, left))) is None:
                found = followed[states, left] = joined(
                    follow(each, left - 1) for each in self._steps(states)
                )
            return found

        return follow(self._start, length)

    def _steps(self, states: frozenset[int]) -> tuple[frozenset[int], ...]:
        """The states after each of the ten digits."""
        if (found := self._next.get(states)) is None:
            after: list[list[int]] = [[] for _ in range(10)]
            for state in states:
                if (move := self._states.moves[state]) is not None:
                    for digit in range(10):
                        if move[0] >> digit & 1:
                            after[digit].append(move[1])
            found = self._next[states] = tuple(map(self._closure, after))
        return found

    def _closure(self, states: Sequence[int]) -> frozenset[int]:
        seen = set(states)
        waiting = list(states)
        while waiting:
            for state, _ in self._states.jumps[waiting.pop()]:
                if state not in seen:
                    seen.add(state)
                    waiting.append(state)
        return frozenset(seen)


_Slots = tuple[int, ...]
_Threads = tuple[tuple[int, _Slots], ...]


class PrefixReader:
    """Finds where a pattern matches at the beginning of a number, as `re.match` does: of several matches, the
    one that the pattern prefers.

    Args:
        pattern: a pattern, which may end with `$`.

    Raises:
        UnknownPattern: the pattern cannot be read.
    """

    def __init__(self, pattern: str) -> None:
        node = parse(pattern)
        self._groups = groups_of(node)
        self._states = _States()
        self._begin = self._states.new()
        self._accept = self._states.add(node, self._begin)

    def runs(self, length: int) -> Sequence[Run[Match | None]]:
        """All numbers of `length` digits in ascending order, in runs that match in the same places."""
        followed: dict[tuple[_Threads, Match | None, int], Sequence[Run[Match | None]]] = {}

        def follow(threads: _Threads, best: Match | None, left: int) -> Sequence[Run[Match | None]]:
            if left == 0 or not threads:
                return ((10**left, best),)
            if (found := followed.get((threads, best, left))) is None:
                found = followed[threads, best, left] = joined(
                    follow(*self._read(threads, best, digit, length - left + 1, left == 1), left - 1)
                    for digit in range(10)
                )
            return found

        nothing: _Slots = (-1,) * (2 * self._groups)
        threads, best = self._spread([(self._begin, nothing)], None, 0, length == 0)
        return follow(threads, best, length)

    def _read(
        self, threads: _Threads, best: Match | None, digit: int, at: int, at_end: bool
    ) -> tuple[_Threads, Match | None]:
        moved = []
        for state, slots in threads:
            move = self._states.moves[state]
            if move is not None and move[0] >> digit & 1:
                moved.append((move[1], slots))
        return self._spread(moved, best, at, at_end)

    def _spread(
        self, threads: Sequence[tuple[int, _Slots]], best: Match | None, at: int, at_end: bool
    ) -> tuple[_Threads, Match | None]:
        """Follow all jumps, in order of preference. A thread that reaches the end stops all threads after it;
        those before it go on and may still replace its match (Pike's simulation of a backtracking
        matcher)."""
        waiting = list(reversed(threads))
        kept: list[tuple[int, _Slots]] = []
        seen: set[int] = set()
        while waiting:
            state, slots = waiting.pop()
            if state in seen:
                continue
            seen.add(state)
            if state == self._accept:
                edges = [slots[2 * group : 2 * group + 2] for group in range(self._groups)]
                groups = tuple((first, end) if end >= 0 else None for first, end in edges)
                return tuple(kept), Match(at, groups)
            if self._states.moves[state] is not None:
                kept.append((state, slots))
            for after, mark in reversed(self._states.jumps[state]):
                if mark >= 0:
                    waiting.append((after, (*slots[:mark], at, *slots[mark + 1 :])))
                elif mark == _PLAIN or at_end:
                    waiting.append((after, slots))
        return tuple(kept), best


def joined(parts: Iterable[Sequence[Run[Value]]]) -> Sequence[Run[Value]]:
    """Concatenate runs, and merge neighbours with the same value."""
    runs: list[Run[Value]] = []
    for part in parts:
        for width, value in part:
            if runs and runs[-1][1] == value:
                runs[-1] = (runs[-1][0] + width, value)
            else:
                runs.append((width, value))
    return tuple(runs)
