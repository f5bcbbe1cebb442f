"""A Modbus register map as its TOML file says it: what is where in a device, checked whole. No planning, no decoding.

Map-wide `address_base`, `word_order` and `byte_order` hold for every `[[register]]` that does not say otherwise.
"""

from enum import StrEnum
from fractions import Fraction
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from contract.configuration import Wrong
from contract.quantity import QUANTITIES, Shape

MAX_REGISTERS = 125
MAX_BITS = 2000
"""Most registers and bits of one read request. Modbus Application Protocol V1.1b3, 6.1 to 6.4."""
ADDRESSES = 65536
MAX_FLOAT32 = 3.4e38
LARGEST = 1e12
REPEATABLE = "raw_value"
"""The one quantity that a device may have several times."""


class Table(StrEnum):
    """The four tables of a Modbus device; the function code follows from it."""

    COIL = "coil"
    DISCRETE = "discrete"
    HOLDING = "holding"
    INPUT = "input"

    @property
    def has_bits(self) -> bool:
        """True where an address holds one bit and not a register of 16."""
        return self in {Table.COIL, Table.DISCRETE}


class Type(StrEnum):
    """How registers are to be read as a number."""

    INT16 = "int16"
    UINT16 = "uint16"
    INT32 = "int32"
    UINT32 = "uint32"
    FLOAT32 = "float32"
    BITS = "bits"

    @property
    def width(self) -> int:
        """How many addresses a value takes."""
        return 2 if self in {Type.INT32, Type.UINT32, Type.FLOAT32} else 1

    @property
    def is_signed(self) -> bool:
        """True for the integers that a sign codec applies to."""
        return self in {Type.INT16, Type.INT32}


class Order(StrEnum):
    """Which comes first: "big" the more significant, "little" the less significant."""

    BIG = "big"
    LITTLE = "little"


class Sign(StrEnum):
    """How a negative number is written."""

    TWOS_COMPLEMENT = "twos_complement"
    OFFSET = "offset"
    """From `sign_offset` up the number is negative: 10205 is -205. KinCony SHT30."""
    SIGN_BIT = "sign_bit"
    """The highest bit is the sign, the others are the magnitude."""


class Register(BaseModel):
    """One `[[register]]`: a quantity and where and how the device writes it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    quantity: str
    table: Table
    address: int = Field(ge=0, le=ADDRESSES)
    address_base: Annotated[int, Field(ge=0, le=1)] | None = None
    type: Type | None = None
    """Not needed for coils and discrete inputs, which are bits."""
    word_order: Order | None = None
    byte_order: Order | None = None
    sign: Sign = Sign.TWOS_COMPLEMENT
    sign_offset: int = Field(default=10_000, gt=0)
    bit: int | None = Field(default=None, ge=0, le=15)
    """Type "bits" in a register: the one bit wanted (0 is the lowest); without it the register is one number."""
    scale: float = 1.0
    offset: float = 0.0
    """Value = number in the register x scale + offset, in the quantity's unit."""
    unit: str | None = None
    """Said only to be checked against the quantity's own unit."""
    invalid: tuple[int | float, ...] = ()
    """Numbers that mean "no value", as they stand in the register: before sign, scale and offset."""
    group: str | None = None
    """Registers of one group are measured at one instant and are never read in two requests."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        self._check_quantity()
        if not 1 / LARGEST <= abs(self.scale) <= LARGEST or not abs(self.offset) <= LARGEST:
            raise Wrong("'scale' or 'offset' is no usable number", "Use a scale other than 0, and nothing beyond 1e12")
        if self.table.has_bits and self.type not in {None, Type.BITS}:
            raise Wrong(f'table "{self.table}" holds bits, not numbers', 'Leave "type" out or use table "input"')
        if not self.table.has_bits and self.type is None:
            raise Wrong("'type' is missing", 'Add type = "int16", "uint16", "int32", "uint32", "float32" or "bits"')
        if self.sign is not Sign.TWOS_COMPLEMENT and not self.type_.is_signed:
            raise Wrong("'sign' applies to int16 and int32 only", "Leave it out or use a signed type")
        if self.bit is not None and (self.type_ is not Type.BITS or self.table.has_bits):
            raise Wrong("'bit' applies to registers of type \"bits\" only", 'Leave it out or use type = "bits"')
        if self.type_ is not Type.FLOAT32 and not all(isinstance(each, int) for each in self.invalid):
            raise Wrong("'invalid' has a broken number for a whole one", "Give it as it stands in the register")
        if not all(self._holds(each) for each in self.invalid):
            raise Wrong("'invalid' has a number that the register cannot hold", "Give it as it stands in the register")
        return self

    def _holds(self, number: int | float) -> bool:
        if self.type_ is Type.FLOAT32:
            return abs(number) <= MAX_FLOAT32
        span = 1 << (16 * self.type_.width)
        return -span // 2 <= number < span

    def _check_quantity(self) -> None:
        quantity = QUANTITIES.get(self.quantity)
        scalars = [row.name for row in QUANTITIES.values() if row.shape is Shape.SCALAR]
        if quantity is None or quantity.shape is not Shape.SCALAR:
            raise Wrong("'quantity' is not in the quantity table", f"Use one of: {', '.join(scalars)}")
        if self.unit is not None and self.unit not in {quantity.unit, quantity.symbol, quantity.unit_code}:
            raise Wrong("'unit' is not the quantity's", f'Scale the value to "{quantity.unit}"')

    @property
    def type_(self) -> Type:
        """The type, also where it goes without saying."""
        return self.type or Type.BITS

    @property
    def factor(self) -> tuple[int, int, int]:
        """(a, b, d): value = (number x a + b) / d, exactly what scale and offset say in decimals."""
        scale, offset = Fraction(repr(self.scale)), Fraction(repr(self.offset))
        divisor = scale.denominator * offset.denominator
        return int(scale * divisor), int(offset * divisor), divisor


class RegisterMap(BaseModel):
    """A whole map file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = ""
    period_s: float = Field(ge=0, le=86_400)
    """From poll to poll; 0 polls without pause."""
    address_base: int = Field(default=0, ge=0, le=1)
    word_order: Order = Order.BIG
    byte_order: Order = Order.BIG
    max_gap: int = Field(default=0, ge=0, le=64)
    """So many registers between two wanted ones may be read along, where the device allows it."""
    max_block: int = Field(default=MAX_REGISTERS, ge=2, le=MAX_REGISTERS)
    """Most registers the device gives in one answer."""
    registers: tuple[Register, ...] = Field(alias="register", min_length=1, max_length=4096)

    @model_validator(mode="after")
    def _check(self) -> Self:
        seen: set[str] = set()
        for register in self.registers:
            if register.quantity in seen and register.quantity != REPEATABLE:
                raise Wrong(f"quantity {register.quantity} stands twice", "Keep one register of each quantity")
            seen.add(register.quantity)
            first = self.wire_address(register)
            if first < 0 or first + register.type_.width > ADDRESSES:
                raise Wrong(
                    f"register {register.address} of {register.quantity} does not exist",
                    f"Addresses count from {self.base(register)}: correct 'address' or 'address_base'",
                )
        return self

    @model_validator(mode="after")
    def _check_groups(self) -> Self:
        tables: dict[str, Table] = {}
        for register in self.registers:
            if register.group is not None and tables.setdefault(register.group, register.table) != register.table:
                raise Wrong(f"group {register.group} lies in two tables", "One request reads one table: use two groups")
        return self

    def max_count(self, table: Table) -> int:
        """Most addresses of a table that one request reads."""
        return MAX_BITS if table.has_bits else self.max_block

    def base(self, register: Register) -> int:
        """From which number the maker counts this register."""
        return self.address_base if register.address_base is None else register.address_base

    def wire_address(self, register: Register) -> int:
        """The address as it stands in a request: from 0."""
        return register.address - self.base(register)
