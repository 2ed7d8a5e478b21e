"""The genesis: the one document all nodes of a network start from. Its hash is the chain id.

It names the members, their keys and roles, the currencies, the ledger day, the policy and the scoring models.
On disk it is JSON that a person can read (`genesis.json`); its identity is the hash of its canonical msgpack,
so white space does not matter. Never put anything secret here.
"""

from typing import Annotated

import msgspec

from protocol.codec import JSON_FAULTS, encode
from protocol.crypto import calculate_account_id, calculate_hash
from protocol.ids import AccountId, BoxKeyField, ChainId, DayField, PublicKey, PublicKeyField, TimeMs, TimeMsField
from protocol.limits import VALIDATORS_MAX
from protocol.money import PPM, Amount, AmountField, CurrencyField, Ppm, PpmField

GENESIS_VERSION = 2
RULES_VERSION = 1
"""The newest rules that this release can execute. A release with new rules executes the older ones as before."""
DAY_MS = 86_400_000


class GenesisError(ValueError):
    """A genesis that cannot be used; the message names the fix."""


class Member(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One organisation of the network. Roles follow from what it has: a validator key makes it a validator."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    officer_key: PublicKeyField
    """Signs for the organisation; opens its account at genesis."""
    node_key: PublicKeyField
    """Identity of its node on the network."""
    enc_key: BoxKeyField
    """Statements granted to it are sealed to this key."""
    attester_key: PublicKeyField | None = None
    """Signs attestations automatically."""
    validator_key: PublicKeyField | None = None
    lender: bool = False
    settlement_agent: bool = False
    issuer: bool = False
    """May issue credentials (KYC)."""
    observer: bool = False
    """May see exposure totals under tags (regulator, auditor)."""
    arbiter: bool = False
    """May decide disputes."""
    provider: bool = False
    """May sign statements: a bank or an aggregator."""

    @property
    def account(self) -> AccountId:
        """The organisation's account."""
        return calculate_account_id(PublicKey(self.officer_key))


class CurrencyUnit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A currency of the network."""

    code: CurrencyField
    exponent: Annotated[int, msgspec.Meta(ge=0, le=4)]
    """Decimal digits of the minor unit (ISO 4217)."""


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits of law and prudence that every node enforces. Own defaults, to be governed; none is a constant in code."""

    debt_cap: AmountField
    """Largest open principal of one subject across all lenders, in minor units of the network's first currency."""
    instalment_share_ppm: PpmField
    """Largest share of 30-day net cash flow that instalments due in 30 days may take."""
    lenders_max: Annotated[int, msgspec.Meta(ge=1, le=100)]
    """Lenders one subject may owe at once."""
    accepts_per_day_max: Annotated[int, msgspec.Meta(ge=1, le=100)]
    apr_cap_ppm: PpmField
    late_cap_ppm: PpmField
    """Ceiling of rate plus late rate."""
    cost_cap_ppm: PpmField
    """Ceiling of all interest, fees and penalties as a share of the principal."""
    cooling_off_days: Annotated[int, msgspec.Meta(ge=0, le=30)]
    materiality: AmountField
    """An unpaid rest up to this does not make an instalment late."""
    statement_age_days_max: Annotated[int, msgspec.Meta(ge=0, le=30)]
    """A statement that ends longer before the application's date is refused."""
    application_days: Annotated[int, msgspec.Meta(ge=1, le=90)]
    """How long an application stands open, in ledger days."""
    attestations_floor: Annotated[int, msgspec.Meta(ge=1, le=16)]
    """Fewest equal attestations a product may decide on; a network of fewer organisations asks for all of them."""
    segment_caps: Annotated[tuple[AmountField, ...], msgspec.Meta(max_length=3)] = ()
    """Largest debt at which a loan of a segment (in the order of its numbers) may still be taken; none: `debt_cap`."""
    guarantee_weight_ppm: Annotated[Ppm, msgspec.Meta(ge=0, le=PPM)] = Ppm(500_000)
    """Share of a guaranteed principal that counts as the guarantor's own debt."""
    prepayment_cap_ppm: Annotated[Ppm, msgspec.Meta(ge=0, le=PPM)] = Ppm(10_000)
    """Ceiling of prepayment fees, of the principal paid early (Directive 2008/48/EC Article 16(2): 1 %)."""
    default_days_min: Annotated[int, msgspec.Meta(ge=30, le=360)] = 60
    """No product may call default earlier."""
    writeoff_days: Annotated[int, msgspec.Meta(ge=0, le=1_096)] = 180
    """Days since default after which a loan may be written off."""
    observation_days: Annotated[int, msgspec.Meta(ge=0, le=1_096)] = 365
    """How long an amended loan is at least of special mention."""
    restructures_max: Annotated[int, msgspec.Meta(ge=0, le=16)] = 2
    haircuts_ppm: Annotated[
        tuple[Annotated[Ppm, msgspec.Meta(ge=0, le=PPM)], ...], msgspec.Meta(min_length=5, max_length=5)
    ] = (Ppm(10_000), Ppm(30_000), Ppm(300_000), Ppm(600_000), Ppm(1_000_000))
    """What those who leave a pool leave behind of each loan's principal, by class from normal to loss."""
    recovery_cost_ppm: Annotated[Ppm, msgspec.Meta(ge=0, le=PPM)] = Ppm(100_000)
    """Ceiling of the costs of recovery, of the claim."""
    hold_days: Annotated[int, msgspec.Meta(ge=0, le=90)] = 30
    """How long a dispute holds late charges and default."""
    funded_days: Annotated[int, msgspec.Meta(ge=1, le=30)] = 3
    """How long a settlement agent has to pay a loan out."""
    reversal_days: Annotated[int, msgspec.Meta(ge=0, le=90)] = 10
    """How long a receipt of fiat can be reversed."""
    recovery_delay_days: Annotated[int, msgspec.Meta(ge=0, le=30)] = 3
    """How long a lost key's replacement waits for an objection."""
    cover_release_days: Annotated[int, msgspec.Meta(ge=0, le=1_096)] = 365
    """How long losses that cover did not bear keep it bound."""
    attestation_penalty: AmountField = Amount(0)
    """What a member convicted of a false attestation pays to its reporter, as far as its cash and cover go."""
    us_rate: bool = False
    """Disclosures also state the nominal annual rate of the US actuarial method (12 CFR 1026, Appendix J)."""
    revenue_rebate_ppm: Annotated[Ppm, msgspec.Meta(ge=0, le=PPM)] = Ppm(0)
    """Of a share of sales that is paid off early: share of the discount not yet earned that is given up."""
    claim_days: Annotated[int, msgspec.Meta(ge=0, le=3_653)] = 30
    """How long data stays after the last loan on it was closed, for claims; never shorter than `reversal_days`."""
    erasure_days: Annotated[int, msgspec.Meta(ge=1, le=90)] = 7
    """How long members have to say that they erased what is due; later their receipts are overdue."""
    sidecar_days: Annotated[int, msgspec.Meta(ge=1, le=3_653)] = 365
    """How long nodes keep bins after their application was executed; the decision stays."""
    statement_days: Annotated[int, msgspec.Meta(ge=1, le=3_653)] = 1_825
    """How long nodes keep an encrypted statement that no open application, loan or line rests on any more."""


class Genesis(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole document."""

    version: int
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    time_ms: TimeMsField
    """Instant at which `day_start` begins at offset 0."""
    day_start: DayField
    day_ms: Annotated[int, msgspec.Meta(ge=100, le=DAY_MS)]
    """Length of a ledger day; shorter than 86,400,000 only in demonstrations."""
    currencies: Annotated[tuple[CurrencyUnit, ...], msgspec.Meta(min_length=1, max_length=16)]
    members: Annotated[tuple[Member, ...], msgspec.Meta(min_length=1, max_length=128)]
    policy: Policy
    models: Annotated[tuple[str, ...], msgspec.Meta(max_length=16)]
    """Canonical JSON of each points model, as text (scoring.points)."""
    rules: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)] = 1
    """Version of the rules that the network begins with; votes lead to newer ones."""

    def calculate_chain_id(self) -> ChainId:
        """SHA-256 of the canonical msgpack of this document."""
        return ChainId(calculate_hash("genesis", encode(self)))

    def calculate_day(self, time_ms: TimeMs, tz_offset_min: int) -> int:
        """Contract day at block time `time_ms` in a product's fixed offset (minutes), floor; day_ms long."""
        shift = tz_offset_min * self.day_ms // 1440
        return self.day_start + (time_ms + shift - self.time_ms) // self.day_ms

    def calculate_day_start_ms(self, day: int, tz_offset_min: int) -> TimeMs:
        """First instant of contract day `day` in the offset: the inverse of `calculate_day`."""
        shift = tz_offset_min * self.day_ms // 1440
        return TimeMs(self.time_ms + (day - self.day_start) * self.day_ms - shift)

    def calculate_validator_keys(self) -> tuple[PublicKey, ...]:
        """Validator keys in order of bytes."""
        return tuple(sorted(PublicKey(one.validator_key) for one in self.members if one.validator_key is not None))


def encode_genesis(genesis: Genesis) -> bytes:
    """The JSON text of `genesis.json`, indented; keys as base64 (RFC 4648)."""
    return msgspec.json.format(msgspec.json.encode(genesis), indent=2) + b"\n"


def decode_genesis(raw: bytes) -> Genesis:
    """The genesis of a JSON text. Raises GenesisError with a sentence for anything that cannot found a network."""
    try:
        genesis = msgspec.json.decode(raw, type=Genesis)
    except JSON_FAULTS as error:
        raise GenesisError(f"genesis is not valid: {error}") from error
    if genesis.version != GENESIS_VERSION:
        raise GenesisError(f"genesis version {genesis.version} is not {GENESIS_VERSION}: use a matching release")
    if genesis.rules > RULES_VERSION:
        raise GenesisError(f"genesis asks for rules {genesis.rules}, not up to {RULES_VERSION}: use a newer release")
    keys = [key for one in genesis.members for key in _member_keys(one)]
    if len(keys) != len(set(keys)):
        raise GenesisError("genesis names one key twice: every key of every member must differ")
    if len({one.name for one in genesis.members}) != len(genesis.members):
        raise GenesisError("genesis names two members alike")
    validators = genesis.calculate_validator_keys()
    if not 1 <= len(validators) <= VALIDATORS_MAX:
        raise GenesisError(f"genesis needs 1 to {VALIDATORS_MAX} validators, it names {len(validators)}")
    if len({one.code for one in genesis.currencies}) != len(genesis.currencies):
        raise GenesisError("genesis names a currency twice")
    return genesis


def _member_keys(member: Member) -> list[bytes]:
    keys: list[bytes | None] = [
        member.officer_key,
        member.node_key,
        member.enc_key,
        member.attester_key,
        member.validator_key,
    ]
    return [key for key in keys if key is not None]
