"""Which registers to read in one request, and what numbers they hold. Pure.

A block is made once: its registers are compiled into as few `struct` formats as their byte and word orders need, so
that decoding costs one unpacking and one short loop a block. Sentinels are looked for in the number as it stands in the
register, before sign, scale and offset: 0x8000 scaled by 0.1 is a plausible -3276.8.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from math import isfinite
from operator import attrgetter
from struct import Struct, pack, unpack

from contract.errors import ProtocolError
from contract.sample import Flag, Reading
from drivers.codecs.modbus_map import Order, Register, RegisterMap, Sign, Table, Type

_LETTERS = {Type.INT16: "h", Type.UINT16: "H", Type.BITS: "H", Type.INT32: "i", Type.UINT32: "I", Type.FLOAT32: "f"}
_UNSIGNED = {Type.INT16: "H", Type.INT32: "I"}

Number = int | float
Adjust = Callable[[Number], Number | None]
"""What becomes of a register's number before it is scaled; None: no value."""


@dataclass(frozen=True, slots=True)
class Field:
    """One register of a map, its defaults resolved. `address` is the wire's, from 0; `written` is the maker's.

    `packs_little` and `is_little` say how the number is unpacked: see `_orders`.
    """

    quantity: str
    address: int
    written: int
    width: int
    group: str | None
    letter: str
    packs_little: bool
    is_little: bool
    invalid: frozenset[Number]
    adjust: Adjust | None
    factor: tuple[int, int, int]

    @property
    def end(self) -> int:
        """The first address behind it."""
        return self.address + self.width


_Recipe = tuple[str, frozenset[Number], Adjust | None, int, int, int]
"""What the loop over a block's numbers needs of a field: a plain tuple, unpacked a million times."""


class Block:
    """Registers of one table that one request reads."""

    def __init__(self, table: Table, fields: Sequence[Field]) -> None:
        """`fields` are sorted by address and not empty."""
        self.table = table
        self.fields = tuple(fields)
        self.address = fields[0].address
        self.count = max(field.end for field in fields) - self.address
        self._recipes = [_recipe(field) for field in fields]
        self._layouts = [] if table.has_bits else list(_layouts(fields, self.address, self.count))

    def decode(self, words: Sequence[int]) -> tuple[Reading, ...]:
        """The readings in an answer of `count` registers, or bits. ProtocolError when it holds fewer."""
        if len(words) < self.count:
            raise ProtocolError(f"{len(words)} values where {self.count} were asked for")
        if self.table.has_bits:
            return tuple(_readings([int(words[each.address - self.address]) for each in self.fields], self._recipes))
        readings: list[Reading] = []
        for words_layout, numbers_layout, recipes in self._layouts:
            numbers = numbers_layout.unpack(words_layout.pack(*words[: self.count]))
            readings += _readings(numbers, recipes)
        return tuple(readings)

    def no_values(self) -> tuple[Reading, ...]:
        """What is to be said of the block while the device refuses it."""
        return tuple(Reading(field.quantity, None, Flag.MISSING) for field in self.fields)

    def split(self) -> tuple["Block", ...]:
        """Smaller blocks for a device that refuses this one; itself alone when it can be no smaller.

        First the unused registers between the wanted ones are left out, then it is halved. A group stays whole.
        """
        parts = list(_runs(self.fields, max_gap=0, max_count=self.count))
        if len(parts) == 1:
            units = _units(self.fields)
            half = len(units) // 2
            halves = [[field for unit in part for field in unit] for part in (units[:half], units[half:])]
            parts = [part for part in halves if part]
        return tuple(Block(self.table, part) for part in parts)

    def __str__(self) -> str:
        """As an installer finds it in the map."""
        first, last = self.fields[0], self.fields[-1]
        if len(self.fields) == 1:
            return f"{self.table} register {first.written} ({first.quantity})"
        return f"{self.table} registers {first.written} ({first.quantity}) to {last.written} ({last.quantity})"


def blocks(register_map: RegisterMap) -> tuple[Block, ...]:
    """The map's registers in as few requests as its limits allow, by table and address."""
    planned: list[Block] = []
    registers = sorted(register_map.registers, key=lambda each: (each.table, register_map.wire_address(each)))
    for table, members in groupby(registers, key=attrgetter("table")):
        fields = [_field(register_map, register) for register in members]
        planned += [Block(table, run) for run in _runs(fields, register_map.max_gap, register_map.max_count(table))]
    return tuple(planned)


def _runs(fields: Sequence[Field], max_gap: int, max_count: int) -> Iterator[list[Field]]:
    """Fields that lie close enough together for one request; a group stays together in any case."""
    run: list[Field] = []
    run_end = 0
    for unit in _units(fields):
        start, end = unit[0].address, max(field.end for field in unit)
        if run and (start - run_end > max_gap or end - run[0].address > max_count):
            yield run
            run, run_end = [], 0
        run += unit
        run_end = max(run_end, end)
    if run:
        yield run


def _units(fields: Sequence[Field]) -> list[list[Field]]:
    """What must be read together: a group with all that lies between its members, else one field."""
    last_of = {field.group: index for index, field in enumerate(fields) if field.group is not None}
    units: list[list[Field]] = []
    open_until = -1
    for index, field in enumerate(fields):
        if index <= open_until:
            units[-1].append(field)
        else:
            units.append([field])
        if field.group is not None:
            open_until = max(open_until, last_of[field.group])
    return units


def _layouts(fields: Iterable[Field], address: int, count: int) -> Iterator[tuple[Struct, Struct, list[_Recipe]]]:
    """How to pack the words of an answer, how to unpack numbers from that, and what they are.

    One for each pair of orders; fields that overlap others go into a further one.
    """
    rest = list(fields)
    while rest:
        first, at, layout = rest[0], address, "<" if rest[0].is_little else ">"
        recipes: list[_Recipe] = []
        left: list[Field] = []
        for field in rest:
            if (field.packs_little, field.is_little) != (first.packs_little, first.is_little) or field.address < at:
                left.append(field)
                continue
            layout += f"{2 * (field.address - at)}x{field.letter}"
            at = field.end
            recipes.append(_recipe(field))
        words_order = "<" if first.packs_little else ">"
        yield Struct(f"{words_order}{count}H"), Struct(f"{layout}{2 * (address + count - at)}x"), recipes
        rest = left


def _readings(numbers: Iterable[Number], recipes: Iterable[_Recipe]) -> list[Reading]:
    readings: list[Reading] = []
    for raw, (quantity, invalid, adjust, multiplier, addend, divisor) in zip(numbers, recipes, strict=True):
        number: Number | None = raw
        if raw in invalid:
            number = None
        elif adjust is not None:
            number = adjust(raw)
        if number is None:
            readings.append(Reading(quantity, None, Flag.MISSING))
        else:
            # A quotient of whole numbers is the float nearest to the decimal that is meant: 305 / 10 is 30.5.
            readings.append(Reading(quantity, (number * multiplier + addend) / divisor))
    return readings


def _recipe(field: Field) -> _Recipe:
    return (field.quantity, field.invalid, field.adjust, *field.factor)


def _field(register_map: RegisterMap, register: Register) -> Field:
    kind = register.type_
    word_order = register.word_order or register_map.word_order
    byte_order = register.byte_order or register_map.byte_order
    packs_little, is_little = _orders(kind, word_order is Order.LITTLE, byte_order is Order.LITTLE)
    is_coded = kind.is_signed and register.sign is not Sign.TWOS_COMPLEMENT
    return Field(
        quantity=register.quantity,
        address=register_map.wire_address(register),
        written=register.address,
        width=kind.width,
        group=register.group,
        letter=_UNSIGNED[kind] if is_coded else _LETTERS[kind],
        packs_little=packs_little,
        is_little=is_little,
        invalid=_invalid(register, is_coded),
        adjust=_adjust(register),
        factor=register.factor,
    )


def _orders(kind: Type, is_word_little: bool, is_byte_little: bool) -> tuple[bool, bool]:
    """Whether to pack the words little-endian, and whether to unpack numbers little-endian from that.

    Words arrive as numbers. Packed little-endian the bytes of each are turned round, so that a number whose low word
    comes first lies there lowest byte first.
    """
    if kind.width == 1:
        return False, is_byte_little
    return is_word_little != is_byte_little, is_word_little


def _invalid(register: Register, is_coded: bool) -> frozenset[Number]:
    """The sentinels as unpacking gives them: 0x8000 of an int16 is -32768."""
    kind = register.type_
    if kind is Type.FLOAT32:
        return frozenset(unpack(">f", pack(">f", each))[0] for each in register.invalid)
    span = 1 << (16 * kind.width)
    low = -span // 2 if kind.is_signed and not is_coded else 0
    return frozenset((int(each) - low) % span + low for each in register.invalid)


def _adjust(register: Register) -> Adjust | None:
    match register.type_, register.sign:
        case Type.FLOAT32, _:
            return _finite
        case Type.BITS, _ if register.bit is not None:
            return partial(_bit, register.bit)
        case _, Sign.OFFSET:
            return partial(_from_offset, register.sign_offset)
        case _, Sign.SIGN_BIT:
            return partial(_from_sign_bit, 1 << (16 * register.type_.width - 1))
        case _:
            return None


def _finite(number: Number) -> Number | None:
    return number if isfinite(number) else None


def _bit(place: int, number: Number) -> Number:
    return int(number) >> place & 1


def _from_offset(offset: int, number: Number) -> Number:
    return number if number < offset else offset - number


def _from_sign_bit(sign_bit: int, number: Number) -> Number:
    return number if number < sign_bit else sign_bit - number
