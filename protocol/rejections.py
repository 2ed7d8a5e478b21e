"""Why a transaction is refused: one enum in order of precedence, each with a stable code and a sentence.

When several reasons hold, the one with the smallest number is given, so every node gives the same. Numbers and
codes are part of receipts: append within a family's hundred, never renumber. `UNKNOWN` is the one generic refusal.
"""

from enum import IntEnum, unique


@unique
class Rejection(IntEnum):
    """Reasons in order of precedence: form, signature, chain, time, replay, standing, then each family's own."""

    # the envelope
    TOO_LARGE = 100
    MALFORMED = 101
    NOT_CANONICAL = 102
    WRONG_VERSION = 103
    WRONG_CHAIN = 104
    SIGNATURE_INVALID = 105
    COSIGNATURE_INVALID = 106
    SIDECAR_MISMATCH = 107
    EXPIRED = 108
    VALID_TO_TOO_FAR = 109
    ACCOUNT_UNKNOWN = 110
    NONCE_USED = 111
    NONCE_TOO_FAR = 112
    ACCOUNT_FROZEN = 113
    ROLE_MISSING = 114
    CREDENTIAL_EXPIRED = 115
    PAUSED = 116
    # accounts
    KEY_TAKEN = 200
    TAG_TAKEN = 201
    ISSUER_UNKNOWN = 202
    TARGET_UNKNOWN = 203
    CREDENTIAL_STATE = 204
    RECOVERY_OPEN = 205
    RECOVERY_UNKNOWN = 206
    # money
    CURRENCY_UNKNOWN = 300
    AMOUNT_ZERO = 301
    REFERENCE_USED = 302
    RECIPIENT_UNKNOWN = 303
    FUNDS_SHORT = 304
    AMOUNT_TOO_LARGE = 305
    REDEMPTION_UNKNOWN = 306
    REDEMPTION_CLOSED = 307
    AGENT_FUNDS_SHORT = 308
    # pools
    POOL_UNKNOWN = 400
    POOL_NOT_YOURS = 401
    POOL_TERMS_LOCKED = 402
    SHARES_SHORT = 403
    EXIT_UNKNOWN = 404
    EXIT_CLOSED = 405
    COVER_SHORT = 406
    EXIT_OPEN = 407
    POOL_LOST = 408
    # products
    PRODUCT_UNKNOWN = 500
    PRODUCT_TERMS_INVALID = 501
    POLICY_BROKEN = 502
    MODEL_UNKNOWN = 503
    PRODUCT_LIMIT_REACHED = 504
    PARTNER_MISSING = 505
    # data and consent
    DATA_UNKNOWN = 600
    DATA_NOT_YOURS = 601
    PERIOD_INVALID = 602
    CONSENT_UNKNOWN = 603
    CONSENT_NOT_YOURS = 604
    CONSENT_ENDED = 605
    GRANTEE_UNKNOWN = 606
    DATA_ERASED = 607
    SUCCESSOR_UNFIT = 608
    ERASURE_UNKNOWN = 609
    ERASURE_WAITS = 610
    ERASURE_NOT_YOURS = 611
    ERASED_ALREADY = 612
    CONSENT_SCOPE = 613
    # applications and attestations
    APPLICATION_UNKNOWN = 700
    APPLICATION_CLOSED = 701
    APPLICATIONS_TOO_MANY = 702
    APPLICATION_TERMS_INVALID = 703
    STATEMENT_STALE = 704
    SIDECAR_MISSING = 705
    ATTESTER_NOT_GRANTED = 706
    ATTESTED_ALREADY = 707
    ATTESTATION_MISMATCH = 708
    STATEMENT_CURRENCY = 709
    WISH_UNFIT = 710
    COLLATERAL_UNFIT = 711
    GUARANTOR_UNFIT = 712
    DECIDED_ALREADY = 713
    ATTESTATION_MISSING = 714
    REASONS_INVALID = 715
    ATTESTER_CONVICTED = 716
    # offers and accept
    OFFER_UNKNOWN = 800
    OFFER_EXPIRED = 801
    OFFER_TAKEN = 802
    TERMS_MISMATCH = 803
    CAP_DEBT = 804
    CAP_INSTALMENTS = 805
    CAP_LENDERS = 806
    CAP_DAILY = 807
    BUDGET_SPENT = 808
    LIQUIDITY_SHORT = 809
    CAP_POOL = 810
    RATE_TOO_HIGH = 811
    OFFER_NOT_YOURS = 812
    GUARANTOR_MISSING = 813
    ASSET_LIENED = 814
    AGENT_UNFIT = 815
    LINE_UNKNOWN = 816
    LINE_CLOSED = 817
    LINE_SHORT = 818
    DRAW_BLOCKED = 819
    COVER_LOW = 820
    CAP_GUARANTEE = 821
    ANSWERS_TOO_MANY = 822
    LENDER_UNFIT = 823
    DEBTS_TOO_MANY = 824
    CAP_GRADE = 825
    # loans
    LOAN_UNKNOWN = 900
    LOAN_CLOSED = 901
    LOAN_STATE = 902
    LOAN_NOT_YOURS = 903
    TOO_SOON = 904
    ON_HOLD = 905
    CLASS_NOT_WORSE = 906
    ARBITER_MISSING = 907
    NOT_REVENUE_SHARE = 908
    SALES_GAP = 909
    SALES_DAYS_INVALID = 910
    ADJUST_TOO_MUCH = 911
    PAYMENT_UNKNOWN = 912
    REVERSAL_LATE = 913
    AMENDMENT_UNKNOWN = 914
    AMENDMENT_CLOSED = 915
    AMENDMENT_TERMS_INVALID = 916
    RESTRUCTURES_TOO_MANY = 917
    SHARE_UNKNOWN = 918
    BUYER_UNFIT = 919
    MERCHANT_ONLY = 920
    # governance
    PROPOSAL_UNKNOWN = 930
    PROPOSAL_CLOSED = 931
    VOTED_ALREADY = 932
    PROPOSALS_TOO_MANY = 933
    ACTION_INVALID = 934
    EFFECTIVE_DAY_INVALID = 935
    EVIDENCE_EPOCH = 936
    EVIDENCE_INDEX = 937
    EVIDENCE_CONSISTENT = 938
    CONVICTED_ALREADY = 939
    EVIDENCE_UNSIGNED = 940
    # assets
    ASSET_UNKNOWN = 950
    ASSET_EXISTS = 951
    ASSET_NOT_YOURS = 952
    ASSET_BOUND = 953
    COSIGNER_MISSING = 954
    OPTION_UNFIT = 955
    ASSET_UNFIT = 956
    # disputes
    DISPUTE_UNKNOWN = 970
    DISPUTE_OPEN = 971
    DISPUTE_CLOSED = 972
    ANSWERED_ALREADY = 973
    REMEDY_TOO_LARGE = 974
    # anything a newer rules version may add
    UNKNOWN = 9999

    @property
    def code(self) -> str:
        """The stable code users and programs see, e.g. `cap_debt`."""
        return self.name.lower()


SENTENCES: dict[Rejection, str] = {
    Rejection.TOO_LARGE: "The transaction is larger than the limit of 16 KiB.",
    Rejection.MALFORMED: "The bytes are not a signed transaction.",
    Rejection.NOT_CANONICAL: "The transaction is not in its one canonical encoding.",
    Rejection.WRONG_VERSION: "The transaction is of a version this network does not execute.",
    Rejection.WRONG_CHAIN: "The transaction was signed for another network (chain id differs).",
    Rejection.SIGNATURE_INVALID: "The signature does not match the sender's key.",
    Rejection.COSIGNATURE_INVALID: "A co-signature is missing, repeated or does not match its key.",
    Rejection.SIDECAR_MISMATCH: "The sidecar is missing or does not match its commitment.",
    Rejection.EXPIRED: "The transaction's valid_to lies in the past.",
    Rejection.VALID_TO_TOO_FAR: "The transaction's valid_to lies more than seven days ahead.",
    Rejection.ACCOUNT_UNKNOWN: "No account belongs to the sender's key.",
    Rejection.NONCE_USED: "The nonce was used before by this key.",
    Rejection.NONCE_TOO_FAR: "The nonce is more than 256 ahead of the window of this key.",
    Rejection.ACCOUNT_FROZEN: "The account is frozen; it may still repay.",
    Rejection.ROLE_MISSING: "The account does not hold the role this transaction needs.",
    Rejection.CREDENTIAL_EXPIRED: "The account's credential has expired or was revoked.",
    Rejection.PAUSED: "The validators have paused this kind of transaction; repaying is never paused.",
    Rejection.KEY_TAKEN: "The key already belongs to an account.",
    Rejection.TAG_TAKEN: "This person or company already has a live account.",
    Rejection.ISSUER_UNKNOWN: "The co-signer is not a credential issuer of this network.",
    Rejection.TARGET_UNKNOWN: "The account named does not exist.",
    Rejection.CREDENTIAL_STATE: "The credential or account is already as asked, or is not the issuer's to change.",
    Rejection.RECOVERY_OPEN: "Another recovery of this account already waits.",
    Rejection.RECOVERY_UNKNOWN: "No recovery of this account waits.",
    Rejection.CURRENCY_UNKNOWN: "The currency is not one of this network.",
    Rejection.AMOUNT_ZERO: "The amount must be greater than zero.",
    Rejection.REFERENCE_USED: "The external reference was used before.",
    Rejection.RECIPIENT_UNKNOWN: "The recipient's account does not exist.",
    Rejection.FUNDS_SHORT: "The account's balance is too small.",
    Rejection.AMOUNT_TOO_LARGE: "The amount passes the largest the ledger can hold.",
    Rejection.REDEMPTION_UNKNOWN: "The redemption does not exist.",
    Rejection.REDEMPTION_CLOSED: "The redemption was already settled.",
    Rejection.AGENT_FUNDS_SHORT: "The agent holds less fiat on the ledger's books than it claims to have paid.",
    Rejection.POOL_UNKNOWN: "The pool does not exist.",
    Rejection.POOL_NOT_YOURS: "The pool belongs to another lender.",
    Rejection.POOL_TERMS_LOCKED: "While loans are open, cover rates only rise and fees only fall.",
    Rejection.SHARES_SHORT: "The account holds fewer free shares of the pool.",
    Rejection.EXIT_UNKNOWN: "The exit does not exist or belongs to another account.",
    Rejection.EXIT_CLOSED: "The exit was already paid or cancelled.",
    Rejection.COVER_SHORT: "The pool's first-loss cover is, or would be, below what its loans need.",
    Rejection.EXIT_OPEN: "The account already waits to leave this pool; it can cancel and ask anew.",
    Rejection.POOL_LOST: "More of the pool may still come back than is left, so that no price would be fair.",
    Rejection.PRODUCT_UNKNOWN: "The product does not exist.",
    Rejection.PRODUCT_TERMS_INVALID: "The product's terms contradict each other.",
    Rejection.POLICY_BROKEN: "The terms pass a limit of the network's policy.",
    Rejection.MODEL_UNKNOWN: "The scoring model is not registered.",
    Rejection.PRODUCT_LIMIT_REACHED: "The lender has as many products on sale as allowed.",
    Rejection.PARTNER_MISSING: "A partner pool does not exist, is not fit, or its owner has not co-signed.",
    Rejection.DATA_UNKNOWN: "The data anchor does not exist.",
    Rejection.DATA_NOT_YOURS: "The data anchor belongs to another account.",
    Rejection.PERIOD_INVALID: "The period is empty or ends before it begins.",
    Rejection.CONSENT_UNKNOWN: "The consent does not exist.",
    Rejection.CONSENT_NOT_YOURS: "The consent belongs to another account.",
    Rejection.CONSENT_ENDED: "The consent has ended, was withdrawn or does not cover this.",
    Rejection.GRANTEE_UNKNOWN: "A grantee is not a member of this network.",
    Rejection.DATA_ERASED: "The erasure of this data was ordered: it serves nothing new.",
    Rejection.SUCCESSOR_UNFIT: "The data that takes its place does not exist, is another account's, or is erased too.",
    Rejection.ERASURE_UNKNOWN: "Nobody ordered the erasure of this data.",
    Rejection.ERASURE_WAITS: "The erasure is not due: an application, loan or claim still rests on the data.",
    Rejection.ERASURE_NOT_YOURS: "The account is no member with a node: it has nothing to erase.",
    Rejection.ERASED_ALREADY: "The account has said before that it erased this data.",
    Rejection.CONSENT_SCOPE: "The consent opens another part of the data: rows and features are consented to apart.",
    Rejection.APPLICATION_UNKNOWN: "The application does not exist.",
    Rejection.APPLICATION_CLOSED: "The application was already taken, withdrawn or has expired.",
    Rejection.APPLICATIONS_TOO_MANY: "The borrower has as many open applications as allowed.",
    Rejection.APPLICATION_TERMS_INVALID: "Amount or number of instalments is outside what is offered.",
    Rejection.STATEMENT_STALE: "The statement ends more than three days before the application's date.",
    Rejection.SIDECAR_MISSING: "The application names no sidecar for the model concerned.",
    Rejection.ATTESTER_NOT_GRANTED: "The attester was not granted this data.",
    Rejection.ATTESTED_ALREADY: "This attester has already attested the application.",
    Rejection.ATTESTATION_MISMATCH: "The attestation is not in a form that others can equal (two significant digits).",
    Rejection.STATEMENT_CURRENCY: "The statement is in another currency than the loan asked for.",
    Rejection.WISH_UNFIT: "What the money is for does not fit: merchant, asset or sales are missing or unknown.",
    Rejection.COLLATERAL_UNFIT: "An asset offered as security is not the borrower's, not free, or not registered.",
    Rejection.GUARANTOR_UNFIT: "A guarantor has no account in good standing, or is the borrower.",
    Rejection.DECIDED_ALREADY: "This product has already answered the application.",
    Rejection.ATTESTATION_MISSING: "Fewer organisations have confirmed the data than the policy asks for.",
    Rejection.REASONS_INVALID: "A decline names different reasons that are known.",
    Rejection.ATTESTER_CONVICTED: "The attester was convicted of a false attestation; nothing it attests counts.",
    Rejection.OFFER_UNKNOWN: "The offer does not exist.",
    Rejection.OFFER_EXPIRED: "The offer has expired.",
    Rejection.OFFER_TAKEN: "The offer or its application was already taken.",
    Rejection.TERMS_MISMATCH: "The signed terms differ from the offer's.",
    Rejection.CAP_DEBT: "The borrower's total debt across all lenders would pass the cap.",
    Rejection.CAP_INSTALMENTS: "Instalments due in the next 30 days would pass the share of cash flow allowed.",
    Rejection.CAP_LENDERS: "The borrower already owes as many lenders as allowed.",
    Rejection.CAP_DAILY: "The borrower has already accepted a loan today.",
    Rejection.BUDGET_SPENT: "The product's budget for automatic loans is spent.",
    Rejection.LIQUIDITY_SHORT: "The pool holds too little cash to pay the loan out.",
    Rejection.CAP_POOL: "The pool's largest principal for one borrower would be passed.",
    Rejection.RATE_TOO_HIGH: "Taken this late the offer's annual percentage rate would pass the policy's cap.",
    Rejection.OFFER_NOT_YOURS: "The offer was not made by this lender's officers.",
    Rejection.GUARANTOR_MISSING: "A guarantor named in the offer has not co-signed.",
    Rejection.ASSET_LIENED: "An asset of this loan already secures another one, or is no longer there.",
    Rejection.AGENT_UNFIT: "The settlement agent does not exist, or cannot pay this kind of loan out.",
    Rejection.LINE_UNKNOWN: "The credit line does not exist or belongs to another account.",
    Rejection.LINE_CLOSED: "Nothing can be drawn on the line any more.",
    Rejection.LINE_SHORT: "The amount passes what is undrawn, or is below the smallest draw.",
    Rejection.DRAW_BLOCKED: "No draw is possible while a loan of the line is overdue or impaired.",
    Rejection.COVER_LOW: "A lender's first-loss cover is too small for another loan of its pool.",
    Rejection.CAP_GUARANTEE: "A guarantor's own total debt would pass the cap.",
    Rejection.ANSWERS_TOO_MANY: "The lender has answered the application as often as allowed.",
    Rejection.LENDER_UNFIT: "A lender of this offer is frozen, or the validators no longer let it lend.",
    Rejection.DEBTS_TOO_MANY: "Borrower or guarantor has as many open loans, lines or guarantees as allowed.",
    Rejection.CAP_GRADE: "The amount passes what the product grants on a statement of this grade.",
    Rejection.LOAN_UNKNOWN: "The loan does not exist.",
    Rejection.LOAN_CLOSED: "The loan is closed.",
    Rejection.LOAN_STATE: "The loan is not in a state in which this can happen.",
    Rejection.LOAN_NOT_YOURS: "The account is not the party of the loan that may do this.",
    Rejection.TOO_SOON: "The days or amounts overdue that this needs are not reached.",
    Rejection.ON_HOLD: "An open dispute holds this for now.",
    Rejection.CLASS_NOT_WORSE: "A lender may only worsen a loan's class.",
    Rejection.ARBITER_MISSING: "An arbiter's co-signature is missing, or the evidence it vouches for.",
    Rejection.NOT_REVENUE_SHARE: "The loan is not repaid by a share of sales.",
    Rejection.SALES_GAP: "A sales report begins on the day after the last one reported.",
    Rejection.SALES_DAYS_INVALID: "A sales report covers whole days that have passed.",
    Rejection.ADJUST_TOO_MUCH: "The adjustment is larger than what it could adjust.",
    Rejection.PAYMENT_UNKNOWN: "The loan has no such payment, or it cannot be reversed.",
    Rejection.REVERSAL_LATE: "A payment can be reversed within the policy's days only.",
    Rejection.AMENDMENT_UNKNOWN: "The amendment does not exist.",
    Rejection.AMENDMENT_CLOSED: "The amendment was already answered or has expired.",
    Rejection.AMENDMENT_TERMS_INVALID: "No lawful schedule follows from the amendment's terms.",
    Rejection.RESTRUCTURES_TOO_MANY: "The loan was restructured as often as the policy allows.",
    Rejection.SHARE_UNKNOWN: "The pool holds no share of the loan.",
    Rejection.BUYER_UNFIT: "The buying pool does not exist, is not fit, or its owner has not co-signed.",
    Rejection.MERCHANT_ONLY: "A refund for a purchase comes from the merchant of that purchase.",
    Rejection.PROPOSAL_UNKNOWN: "The proposal does not exist.",
    Rejection.PROPOSAL_CLOSED: "The proposal is no longer open.",
    Rejection.VOTED_ALREADY: "This validator has already voted on the proposal.",
    Rejection.PROPOSALS_TOO_MANY: "The proposer has as many open proposals as allowed.",
    Rejection.ACTION_INVALID: "The proposed action contradicts itself, or names what is not there or is taken.",
    Rejection.EFFECTIVE_DAY_INVALID: "A proposal takes effect on a later day, at most a year ahead.",
    Rejection.EVIDENCE_EPOCH: "Evidence counts in the epoch it is of and in the next one only.",
    Rejection.EVIDENCE_INDEX: "That epoch had no validator of this index.",
    Rejection.EVIDENCE_CONSISTENT: "An honest validator may sign both: the evidence contradicts nothing.",
    Rejection.CONVICTED_ALREADY: "This validator key was convicted before.",
    Rejection.EVIDENCE_UNSIGNED: "A signature of the evidence is not the validator's.",
    Rejection.ASSET_UNKNOWN: "The asset is not registered.",
    Rejection.ASSET_EXISTS: "This asset is already registered.",
    Rejection.ASSET_NOT_YOURS: "The asset belongs to another account.",
    Rejection.ASSET_BOUND: "The asset secures an open loan, or pools hold it.",
    Rejection.COSIGNER_MISSING: "The co-signature of the other party is missing.",
    Rejection.OPTION_UNFIT: "The lease does not offer this option, or rows before it are unpaid.",
    Rejection.ASSET_UNFIT: "The asset does not secure this loan, or no pool holds it.",
    Rejection.DISPUTE_UNKNOWN: "The dispute does not exist.",
    Rejection.DISPUTE_OPEN: "The loan already has an open dispute.",
    Rejection.DISPUTE_CLOSED: "The dispute was already resolved.",
    Rejection.ANSWERED_ALREADY: "The other side has already answered.",
    Rejection.REMEDY_TOO_LARGE: "The remedy passes the contested amount, or what could be given up or back.",
    Rejection.UNKNOWN: "The transaction was refused.",
}
