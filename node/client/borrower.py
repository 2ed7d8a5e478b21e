"""The borrower's own device: a statement is parsed, scored and encrypted here, and no key or plain row ever leaves.

    prepared = prepare_statement(data, name="march.ofx", secret=seed)
    application = make_application(wallet, prepared, wish, lenders=..., models=..., ...)
    device = Borrower(client, wallet, ...)
    await device.apply(application)  ->  decisions, offers  ->  accept  ->  pay

Statement, consent and application go in one group of one request, with the envelope put into the vault before.
Never a rule of the ledger here, and never an upload of anything that is not sealed.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from nacl.utils import random

from node.client.consent import FEATURES_TEXTS, calculate_text_hash, pick_underwriting
from node.client.http import NodeClient
from node.client.network import Organisation, Standing, find_account
from node.client.signed import describe_signed, is_signed_file, read_signed_file
from node.client.wallet import Intent, Wallet
from node.vault.appraise import calculate_vector, calculate_vector_bins
from node.vault.crypto import Recipient, Sealed, make_salt_key, seal_document, seal_features
from protocol.batch import Sidecar
from protocol.codec import encode
from protocol.crypto import Signer, calculate_hash
from protocol.ids import AccountId, BoxKey, Day, Digest, ModelId, ObjectId, TimeMs, TransactionId
from protocol.limits import SIDECARS_PER_APPLICATION_MAX
from protocol.loans.terms import ExcessRule, PeriodUnit
from protocol.money import Amount, Currency
from protocol.transactions.data import ConsentGrant, Purpose, Scope
from protocol.transactions.lending import (
    Apply,
    FeaturesCommitment,
    LeaseWish,
    LoanPurpose,
    Purchase,
    SalesExpected,
    SidecarCommitment,
)
from protocol.transactions.products import Segment
from protocol.vault import VaultEnvelope, VaultPlain
from scoring.features import check_statement
from scoring.ingest.merge import merge
from scoring.ingest.read import read_statement
from scoring.ingest.statement import ErrorCode, Statement, UnsupportedContent
from scoring.points import PointsModel, decode_model

POLL_S: Final = 0.05
CONSENT_MS: Final = 30 * 86_400_000
UNFIT: Final = {
    "statement_empty": "The statement has no movement before the day of the application: take one that has.",
    "statement_future": "The statement has a movement after its own last day: fetch it from the bank again.",
    "statement_stale": "The statement ends too long ago: fetch one up to yesterday from the bank.",
    "statement_quiet": "Nothing moved on the account for five weeks: take the statement of the account in use.",
    "statement_short": "The statement covers under 90 days: fetch at least the last three months.",
}
"""What a lender's attester would refuse, by `check_statement`'s codes, and what to do about it."""


class BorrowError(Exception):
    """Something the borrower asked for that did not come about; `code` is stable."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


class Prepared(NamedTuple):
    """A statement as read on this device, and the plain document that will be sealed."""

    statement: Statement
    plain: VaultPlain


class Wish(NamedTuple):
    """What the borrower asks for."""

    segment: Segment
    currency: Currency
    amount: Amount
    instalments: int
    period_unit: PeriodUnit
    period_every: int
    purpose: LoanPurpose
    as_of: Day
    product: ObjectId | None = None
    special: Purchase | LeaseWish | SalesExpected | None = None
    """What special kinds of product need to know."""
    collateral: tuple[ObjectId, ...] = ()
    guarantors: tuple[AccountId, ...] = ()
    automated: bool = True
    """False leaves the decision to lenders' officers."""


class Application(NamedTuple):
    """An application ready to be sent: the sealed documents, and the group of transactions in order."""

    sealed: Sealed
    features: Sealed
    """What follows from the statement for this application, under a key of its own."""
    data: ObjectId
    consent: ObjectId
    application: ObjectId
    intents: tuple[Intent, ...]

    @property
    def id(self) -> TransactionId:
        """Of the Apply transaction, the last of the group."""
        return self.intents[-1].id


def prepare_statement(data: bytes, *, name: str, secret: bytes) -> Prepared:
    """Read a statement file. `secret` (the wallet's seed) keys the counterparties. Raises StatementError."""
    return prepare_statements([(name, data)], secret=secret)


def prepare_statements(files: Sequence[tuple[str, bytes]], *, secret: bytes) -> Prepared:
    """Read files of one account, (name, bytes) each, and join them. Raises StatementError."""
    signed = [(name, data) for name, data in files if is_signed_file(data)]
    if signed:
        return _prepare_signed(files, signed)
    key = calculate_hash("counterparty-key", secret)
    statement = merge([(name, read_statement(data, name=name, counterparty_key=key)) for name, data in files])
    plain = VaultPlain(
        currency=Currency(statement.currency),
        opening_balance=statement.opening_balance,
        first_day=Day(statement.first_day),
        last_day=Day(statement.last_day),
        provenance=int(statement.provenance),
        salt_key=make_salt_key(),
        rows=statement.rows,
    )
    return Prepared(statement, plain)


def _prepare_signed(files: Sequence[tuple[str, bytes]], signed: Sequence[tuple[str, bytes]]) -> Prepared:
    """A provider's signature is over one statement as it stands: nothing can be joined to it.

    It covers the rows by their places and the balance they begin with, and the ids of other parties are made with the
    provider's own key, so that another file's rows would name the same parties otherwise.
    """
    name, data = signed[0]
    if len(files) > 1:
        why = (
            "a signed statement cannot be joined with another file: the signature covers these rows as they stand, and "
            "the bank's ids of other parties fit no other file; ask the bank for one statement of the whole time"
        )
        raise UnsupportedContent(ErrorCode.UNSUPPORTED_FORMAT, why, file=name)
    plain = read_signed_file(data, name=name)
    return Prepared(describe_signed(plain), msgspec.structs.replace(plain, salt_key=make_salt_key()))


def load_models(network: Standing) -> dict[ModelId, PointsModel]:
    """Models by id that score new applications."""
    models = (decode_model(text.encode("ascii")) for text in network.models)
    return {ModelId(model.id): model for model in models}


def list_lenders(network: Standing) -> tuple[Organisation, ...]:
    """Members that lend and can attest."""
    return tuple(one for one in network.members if one.lender and one.attester_key is not None)


def make_application(
    wallet: Wallet,
    prepared: Prepared,
    wish: Wish,
    *,
    enc_key: BoxKey,
    lenders: Sequence[Organisation],
    models: Sequence[PointsModel],
    now_ms: TimeMs,
    language: str = "en",
    features_to: Sequence[Organisation] = (),
) -> Application:
    """Seal the statement for `lenders` (and oneself) and sign anchor, consents and application, one after the other.

    The features of the application are sealed apart, for `features_to` (and oneself): these read no row, attest
    nothing, and are named in a consent of their own. Raises BorrowError: no_lender, no_model, currency_differs,
    reader_twice, or a code of UNFIT. `enc_key` is the borrower's own, so that they can open and grant again later.
    """
    plain = prepared.plain
    fitting = _pick_models(plain, wish, lenders, models)
    if {one.account for one in lenders} & {one.account for one in features_to}:
        raise BorrowError("reader_twice", "Who reads the statement reads its features as well: name it once.")
    until_ms = TimeMs(now_ms + CONSENT_MS)
    own = Recipient(wallet.account, enc_key)
    sealed = seal_document(
        plain,
        owner=wallet.signer,
        recipients=[*_list_recipients(lenders), own],
        purpose=Purpose.UNDERWRITE,
        until_ms=until_ms,
    )
    anchor = wallet.anchor_data(
        rows_root=Digest(sealed.envelope.root),
        document=sealed.envelope.digest,
        currency=wish.currency,
        first_day=Day(plain.first_day),
        last_day=Day(plain.last_day),
        provenance=plain.provenance,
    )
    consent = wallet.grant_consent(
        ConsentGrant(
            grantees=tuple(sorted(member.account for member in lenders)),
            data=(anchor.made,),
            purpose=Purpose.UNDERWRITE,
            until_ms=until_ms,
            text_hash=calculate_text_hash(pick_underwriting(language, automated=wish.automated)),
        )
    )
    apart = _consent_to_features(wallet, anchor.made, features_to, until_ms=until_ms, language=language)
    request = _make_request(wish, data=anchor.made, consent=consent.made)
    vector = calculate_vector(plain, request)
    features = seal_features(
        vector,
        owner=wallet.signer,
        recipients=[*_list_recipients(features_to), own],
        purpose=Purpose.UNDERWRITE,
        until_ms=until_ms,
    )
    sidecars = tuple(
        Sidecar(model=ModelId(model.id), salt=Digest(random(32)), bins=calculate_vector_bins(vector, model))
        for model in fitting
    )
    named = apart[0].made if apart else None
    asked = wallet.apply(_commit(request, features.envelope, sidecars, named), sidecars)
    group = (anchor, consent, *apart, asked)
    return Application(sealed, features, anchor.made, consent.made, asked.made, group)


def _pick_models(
    plain: VaultPlain, wish: Wish, lenders: Sequence[Organisation], models: Sequence[PointsModel]
) -> list[PointsModel]:
    """Models that score this wish on this statement. Raises BorrowError where nobody could."""
    if not lenders:
        raise BorrowError("no_lender", "No lender is named that could read the statement and decide.")
    fitting = [model for model in models if model.currency == wish.currency][:SIDECARS_PER_APPLICATION_MAX]
    if not fitting:
        raise BorrowError("no_model", f"The network has no scoring model for {wish.currency}.")
    if plain.currency != wish.currency:
        raise BorrowError(
            "currency_differs",
            f"The statement is in {plain.currency}, the loan in {wish.currency}: use one of the same.",
        )
    if reason := check_statement(plain.rows, as_of=wish.as_of, last_day=plain.last_day):
        raise BorrowError(reason, UNFIT[reason])
    return fitting


def _commit(request: Apply, features: VaultEnvelope, sidecars: Sequence[Sidecar], consent: ObjectId | None) -> Apply:
    """The request with what follows from the rows. `consent` names who reads features alone."""
    return msgspec.structs.replace(
        request,
        sidecars=tuple(SidecarCommitment(model=one.model, commitment=one.calculate_commitment()) for one in sidecars),
        features=FeaturesCommitment(root=Digest(features.root), document=features.digest, consent=consent),
    )


def _list_recipients(members: Sequence[Organisation]) -> list[Recipient]:
    return [Recipient(member.account, BoxKey(member.enc_key)) for member in members]


def _consent_to_features(
    wallet: Wallet, data: ObjectId, members: Sequence[Organisation], *, until_ms: TimeMs, language: str
) -> tuple[Intent, ...]:
    """The consent of those who read features alone, if there are any."""
    if not members:
        return ()
    grant = ConsentGrant(
        grantees=tuple(sorted(member.account for member in members)),
        data=(data,),
        purpose=Purpose.UNDERWRITE,
        until_ms=until_ms,
        text_hash=calculate_text_hash(FEATURES_TEXTS["underwrite"][language]),
        scope=Scope.FEATURES,
    )
    return (wallet.grant_consent(grant),)


def _make_request(wish: Wish, *, data: ObjectId, consent: ObjectId) -> Apply:
    """Without what follows from the rows yet."""
    return Apply(
        segment=wish.segment,
        product=wish.product,
        currency=wish.currency,
        amount=wish.amount,
        instalments=wish.instalments,
        period_unit=wish.period_unit,
        period_every=wish.period_every,
        purpose=wish.purpose,
        data=(data,),
        consent=consent,
        as_of=wish.as_of,
        sidecars=(),
        wish=wish.special,
        collateral=wish.collateral,
        guarantors=wish.guarantors,
        automated=wish.automated,
    )


class Borrower:
    """A borrower's conversation with one node."""

    def __init__(self, client: NodeClient, wallet: Wallet, *, now_ms: Callable[[], TimeMs]) -> None:
        self._client = client
        self._wallet = wallet
        self._now_ms = now_ms

    async def apply(self, application: Application) -> int:
        """Put the envelope, submit the group, wait until it is final. Returns the height. Raises BorrowError."""
        for one in (application.sealed, application.features):
            await self.put_document(one)
        results = await self._client.submit([one.item for one in application.intents], wait_final=True)
        for result in results:
            if result.rejection is not None:
                raise BorrowError(result.rejection.code, result.rejection.sentence)
        last = results[-1].height
        if last is None:
            raise BorrowError("not_final", "The application is not final yet: ask for its offers later.")
        return last

    async def put_document(self, sealed: Sealed) -> Digest:
        """Put a sealed document into the node's vault."""
        digest = sealed.envelope.digest
        await self._client.call(
            "PUT",
            f"/v1/vault/documents/{digest.hex()}",
            body=encode(sealed.envelope),
            content_type="application/msgpack",
            signer=self._wallet.signer,
            now_ms=self._now_ms,
        )
        return digest

    async def wait_decisions(self, application: ObjectId, *, count: int = 1, timeout_s: float = 10.0) -> Any:
        """The application as soon as `count` products have decided, or as it stands when time is up."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        while True:
            found = await self._client.get(f"/v1/applications/{application.hex()}")
            if len(found["decisions"]) >= count or asyncio.get_running_loop().time() > deadline:
                return found
            await asyncio.sleep(POLL_S)

    async def accept(self, offer: ObjectId, terms_hash: Digest) -> ObjectId:
        """Take an offer whose disclosure was shown; returns the loan. Raises BorrowError with the ledger's reason."""
        intent = self._wallet.accept(offer=offer, terms_hash=terms_hash)
        await self._settle(intent)
        return intent.made

    async def pay(self, loan: ObjectId, amount: Amount, excess: ExcessRule = ExcessRule.NEXT) -> TransactionId:
        """Pay on a loan. Raises BorrowError with the ledger's reason."""
        intent = self._wallet.pay(loan=loan, amount=amount, excess=excess)
        await self._settle(intent)
        return intent.id

    async def read_access_log(self, data: ObjectId) -> Any:
        """Who opened this data on this node."""
        return await self._client.get_signed(f"/v1/vault/access-log/{data.hex()}", self._wallet.signer, self._now_ms)

    async def _settle(self, intent: Intent) -> None:
        (result,) = await self._client.submit([intent.item], wait_final=True)
        if result.rejection is not None:
            raise BorrowError(result.rejection.code, result.rejection.sentence)
        if result.status != "finalised":
            raise BorrowError("not_final", "The transaction is not final yet: ask for it later by its id.")


async def open_wallet(client: NodeClient, network: Standing, signer: Signer, *, now_ms: Callable[[], TimeMs]) -> Wallet:
    """A wallet over `signer` that continues with the nonce the network has seen, for the account it speaks for."""
    nonce = await client.get_nonce(signer.public_key)
    account = await find_account(client, signer.public_key)
    return Wallet(signer, network.calculate_chain_id(), nonce_next=nonce, now_ms=now_ms, account=account)
