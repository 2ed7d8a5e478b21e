"""A wallet: one key, its nonces, and `build` for every transaction it may sign; the everyday ones have a name.

Each builder answers with an `Intent`: the signed item to submit, its transaction id, and the id of the object it will
make, which is known before anything is sent. Never a socket or a file here.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from protocol.batch import BatchItem, Sidecar, calculate_transaction_id
from protocol.crypto import Signer, calculate_account_id, calculate_object_id
from protocol.ids import (
    ZERO_DIGEST,
    AccountId,
    BoxKey,
    ChainId,
    Day,
    Digest,
    ObjectId,
    PublicKey,
    TimeMs,
    TransactionId,
)
from protocol.limits import VALID_FOR_MS_MAX
from protocol.loans.terms import ExcessRule
from protocol.money import Amount, Currency
from protocol.transactions.accounts import AccountKind, AccountOpen
from protocol.transactions.data import ConsentGrant, ConsentRevoke, DataAnchor
from protocol.transactions.envelope import TRANSACTION_VERSION, Payload, TransactionBody, sign_transaction
from protocol.transactions.governance import Propose
from protocol.transactions.lending import Accept, Apply, ApplyWithdraw, Attest, Draw, OfferPost
from protocol.transactions.money import Mint, RedeemOutcome, RedeemRequest, RedeemSettle, Transfer
from protocol.transactions.pools import PoolDeposit, PoolExit, PoolOpen
from protocol.transactions.products import LoanProduct
from protocol.transactions.servicing import AmendPropose, DisputeOpen, Pay

VALID_FOR_MS: Final = 600_000
"""Ten minutes: long enough for a slow network, short enough that a lost transaction is soon dead."""

OBJECT_KINDS: Final[dict[type, str]] = {
    RedeemRequest: "redemption",
    PoolOpen: "pool",
    LoanProduct: "product",
    DataAnchor: "data",
    ConsentGrant: "consent",
    Apply: "application",
    OfferPost: "offer",
    Accept: "loan",
    Draw: "loan",
    PoolExit: "exit",
    Propose: "proposal",
    AmendPropose: "amendment",
    DisputeOpen: "dispute",
}
"""What a payload makes; others make nothing with an id of its own."""


class Intent(NamedTuple):
    """A signed transaction ready to be submitted."""

    item: BatchItem
    id: TransactionId
    nonce: int
    object_id: ObjectId | None
    """Of what it makes, if it makes something."""

    @property
    def made(self) -> ObjectId:
        """The object's id; only asked for payloads that make one."""
        assert self.object_id is not None, "this payload makes no object"
        return self.object_id


def make_intent(raw: bytes, body: TransactionBody, sidecars: tuple[Sidecar, ...] = ()) -> Intent:
    """The intent of a transaction that is signed already."""
    kind = OBJECT_KINDS.get(type(body.payload))
    return Intent(
        item=BatchItem(transaction=raw, sidecars=sidecars),
        id=calculate_transaction_id(raw),
        nonce=body.nonce,
        object_id=None if kind is None else calculate_object_id(kind, body.sender, body.nonce),
    )


class Wallet:
    """One signing key on one network. `now_ms` is the clock; nonces count up from `nonce_next`."""

    def __init__(
        self,
        signer: Signer,
        chain_id: ChainId,
        *,
        nonce_next: int,
        now_ms: Callable[[], TimeMs],
        valid_for_ms: int = VALID_FOR_MS,
        account: AccountId | None = None,
    ) -> None:
        assert 0 < valid_for_ms <= VALID_FOR_MS_MAX
        self.signer = signer
        self.chain_id = chain_id
        self.nonce_next = nonce_next
        self._now_ms = now_ms
        self._valid_for_ms = valid_for_ms
        self._account = account

    @property
    def public_key(self) -> PublicKey:
        """The key that signs."""
        return self.signer.public_key

    @property
    def account(self) -> AccountId:
        """The account this key speaks for: the one it was given for, or else the one it opens."""
        return calculate_account_id(self.signer.public_key) if self._account is None else self._account

    def build(
        self, payload: Payload, *, sidecars: tuple[Sidecar, ...] = (), cosigners: tuple[Signer, ...] = ()
    ) -> Intent:
        """Sign any payload with the next nonce."""
        nonce = self.nonce_next
        self.nonce_next += 1
        body = TransactionBody(
            version=TRANSACTION_VERSION,
            chain_id=self.chain_id,
            sender=self.public_key,
            nonce=nonce,
            valid_to_ms=TimeMs(self._now_ms() + self._valid_for_ms),
            payload=payload,
            cosigners=tuple(sorted(one.public_key for one in cosigners)),
        )
        return make_intent(sign_transaction(body, self.signer, cosigners), body, sidecars)

    def open_account(
        self, *, issuer: Signer, kind: AccountKind, enc_key: BoxKey, subject_tag: Digest, level: int, expires_on: Day
    ) -> Intent:
        """Open this key's account; the issuer, who checked the person, signs too."""
        payload = AccountOpen(kind=kind, enc_key=enc_key, subject_tag=subject_tag, level=level, expires_on=expires_on)
        return self.build(payload, cosigners=(issuer,))

    def mint(self, *, to: AccountId, currency: Currency, amount: Amount, ext_ref: Digest) -> Intent:
        """Credit fiat received (settlement agent)."""
        return self.build(Mint(to=to, currency=currency, amount=amount, ext_ref=ext_ref))

    def request_redemption(
        self, *, agent: AccountId, currency: Currency, amount: Amount, payout_commit: Digest
    ) -> Intent:
        """Ask an agent to pay fiat out."""
        return self.build(RedeemRequest(agent=agent, currency=currency, amount=amount, payout_commit=payout_commit))

    def settle_redemption(self, *, redemption: ObjectId, outcome: RedeemOutcome, ext_ref: Digest) -> Intent:
        """Say what became of a payout (settlement agent)."""
        return self.build(RedeemSettle(redemption=redemption, outcome=outcome, ext_ref=ext_ref))

    def transfer(
        self, *, to: AccountId, currency: Currency, amount: Amount, memo_commit: Digest = ZERO_DIGEST
    ) -> Intent:
        """Move money to another account."""
        return self.build(Transfer(to=to, currency=currency, amount=amount, memo_commit=memo_commit))

    def open_pool(self, *, currency: Currency, borrower_max: Amount) -> Intent:
        """Open a pool loans are paid from (lender)."""
        return self.build(PoolOpen(currency=currency, borrower_max=borrower_max))

    def deposit(self, *, pool: ObjectId, amount: Amount) -> Intent:
        """Move cash into a pool for shares."""
        return self.build(PoolDeposit(pool=pool, amount=amount))

    def publish_product(self, product: LoanProduct) -> Intent:
        """Publish a product version (lender)."""
        return self.build(product)

    def anchor_data(
        self,
        *,
        rows_root: Digest,
        document: Digest,
        currency: Currency,
        first_day: Day,
        last_day: Day,
        provenance: int,
    ) -> Intent:
        """Commit to a statement in the vault (borrower)."""
        payload = DataAnchor(
            rows_root=rows_root,
            document=document,
            currency=currency,
            first_day=first_day,
            last_day=last_day,
            provenance=provenance,
        )
        return self.build(payload)

    def grant_consent(self, grant: ConsentGrant) -> Intent:
        """Let named organisations read named data (borrower)."""
        return self.build(grant)

    def revoke_consent(self, consent: ObjectId) -> Intent:
        """Withdraw a consent (borrower)."""
        return self.build(ConsentRevoke(consent=consent))

    def apply(self, application: Apply, sidecars: tuple[Sidecar, ...]) -> Intent:
        """Ask for a loan; the sidecars travel beside the transaction (borrower)."""
        return self.build(application, sidecars=sidecars)

    def withdraw_application(self, application: ObjectId) -> Intent:
        """Withdraw an open application (borrower)."""
        return self.build(ApplyWithdraw(application=application))

    def attest(self, attestation: Attest) -> Intent:
        """Confirm what the rows determine (a granted organisation)."""
        return self.build(attestation)

    def accept(self, *, offer: ObjectId, terms_hash: Digest) -> Intent:
        """Take an offer; `terms_hash` is of the disclosure that was shown (borrower)."""
        return self.build(Accept(offer=offer, terms_hash=terms_hash))

    def pay(self, *, loan: ObjectId, amount: Amount, excess: ExcessRule = ExcessRule.NEXT) -> Intent:
        """Pay on a loan; never more than the payoff is taken."""
        return self.build(Pay(loan=loan, amount=amount, excess=excess))
