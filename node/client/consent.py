"""The words a borrower agrees to, in two languages; their hash stands in the consent on the ledger.

A change of any character is a new text with a new hash: add a version, never edit one that was used.
"""

from typing import Final

from protocol.crypto import calculate_hash
from protocol.ids import Digest

UNDERWRITE_EN: Final = (
    "I let the lenders named here read this bank statement, for one purpose: to decide on my application for a loan."
    " They may read it until the date shown. Each reading is logged, and I can see the log. I can withdraw this consent"
    " at any time; nobody may read after that. The decision is made automatically by a published points model; I am"
    " told the reasons and can ask for a person to look at it. (Liushui consent, underwriting, version 1)"
)
UNDERWRITE_ZH: Final = (
    "本人同意此处列明的各贷款机构阅读本流水，仅用于审批本人的贷款申请，阅读期限至所示日期为止。每次阅读均有记录，本人可随时查询。"
    "本人可随时撤回同意，撤回后任何机构不得再行阅读。审批由已公布的评分模型自动作出；本人将获知理由，并可要求人工复核。"
    "（流水授权书·授信审批·第一版）"
)
UNDERWRITE: Final = {"en": UNDERWRITE_EN, "zh": UNDERWRITE_ZH}

BY_PERSON_EN: Final = (
    "I let the lenders named here read this bank statement, for one purpose: to decide on my application for a loan."
    " They may read it until the date shown. Each reading is logged, and I can see the log. I can withdraw this consent"
    " at any time; nobody may read after that. I refuse an automated decision: a person at the lender decides, and may"
    " see what a published points model says; I am told the reasons."
    " (Liushui consent, underwriting by a person, version 1)"
)
BY_PERSON_ZH: Final = (
    "本人同意此处列明的各贷款机构阅读本流水，仅用于审批本人的贷款申请，阅读期限至所示日期为止。每次阅读均有记录，本人可随时查询。"
    "本人可随时撤回同意，撤回后任何机构不得再行阅读。本人拒绝自动化决定：审批由贷款机构的工作人员作出，其可参考已公布的评分模型；"
    "本人将获知理由。（流水授权书·人工授信审批·第一版）"
)
BY_PERSON: Final = {"en": BY_PERSON_EN, "zh": BY_PERSON_ZH}

MONITOR_EN: Final = (
    "I let the lender named here read this bank statement, and the one it granted my loan on once more, for one"
    " purpose: to watch this loan while it runs. It may read them until the date shown. Each reading is logged, and I"
    " can see the log. Programs compare the statements and warn the lender, for example when income falls or when the"
    " two differ. I can withdraw this consent at any time; nobody may read after that, and the terms of the loan stay"
    " as they are. (Liushui consent, monitoring, version 1)"
)
MONITOR_ZH: Final = (
    "本人同意此处列明的贷款机构阅读本流水，并再次阅读放款时提交的流水，仅用于贷款存续期间的贷后监测，阅读期限至所示日期为止。"
    "每次阅读均有记录，本人可随时查询。程序将比对流水并向贷款机构发出预警，例如收入下降或两份流水不一致。"
    "本人可随时撤回同意，撤回后任何机构不得再行阅读，贷款条款不因此改变。（流水授权书·贷后监测·第一版）"
)
MONITOR: Final = {"en": MONITOR_EN, "zh": MONITOR_ZH}
COLLECT_EN: Final = (
    "I agree that the organisations named here read this bank statement for one purpose: to find, after a loan is"
    " overdue, a way of repaying that I can keep. They may read it until the date shown. Each reading is logged, and I"
    " can see the log. I can withdraw this consent at any time; nobody may read after that, and the terms of the loan"
    " stay as they are. (Liushui consent, collection, version 1)"
)
COLLECT_ZH: Final = (
    "本人同意此处列明的机构阅读本流水，仅用于贷款逾期后商定本人能够履行的还款安排，阅读期限至所示日期为止。每次阅读均有记录，"
    "本人可随时查询。本人可随时撤回同意，撤回后任何机构不得再行阅读，贷款条款不因此改变。（流水授权书·催收·第一版）"
)
COLLECT: Final = {"en": COLLECT_EN, "zh": COLLECT_ZH}
RESEARCH_EN: Final = (
    "I agree that the organisations named here read this bank statement for one purpose: to build and test scoring"
    " models. No decision about me may rest on it. They may read it until the date shown. Each reading is logged, and I"
    " can see the log. I can withdraw this consent at any time; nobody may read after that, and no loan depends on it."
    " (Liushui consent, research, version 1)"
)
RESEARCH_ZH: Final = (
    "本人同意此处列明的机构阅读本流水，仅用于建立和检验评分模型，不得据此对本人作出任何决定，阅读期限至所示日期为止。"
    "每次阅读均有记录，本人可随时查询。本人可随时撤回同意，撤回后任何机构不得再行阅读，任何贷款均不以此为条件。"
    "（流水授权书·研究·第一版）"
)
RESEARCH: Final = {"en": RESEARCH_EN, "zh": RESEARCH_ZH}
TEXTS: Final = {"underwrite": UNDERWRITE, "monitor": MONITOR, "collect": COLLECT, "research": RESEARCH}
"""What is shown and hashed, by purpose."""

_FEATURES_EN: Final = (
    "I let the organisations named here read figures computed from this bank statement for my application, about eighty"
    " of them: averages, totals, counts and shares of income, spending, balances and existing debt. They read no single"
    " movement, no name and no account number. One purpose: {purpose}. They may read the figures until the date shown."
    " Each reading is logged, and I can see the log. I can withdraw this consent at any time; nobody may read after"
    " that. (Liushui consent, features alone, {name}, version 1)"
)
_FEATURES_ZH: Final = (
    "本人同意此处列明的机构阅读由本流水为本人申请计算出的指标（约八十项：收入、支出、余额及既有负债的均值、合计、次数与占比），"
    "不得阅读任何一笔明细，亦不含姓名与账号。仅用于{purpose}，阅读期限至所示日期为止。每次阅读均有记录，本人可随时查询。"
    "本人可随时撤回同意，撤回后任何机构不得再行阅读。（流水授权书·仅限指标·{name}·第一版）"
)
_FEATURES_FOR: Final = {
    "underwrite": (
        "to decide on my application for a loan; a person at the organisation may make me an offer",
        "审批本人的贷款申请，可由该机构的工作人员向本人提出贷款方案",
    ),
    "monitor": ("to watch a loan while it runs", "贷款存续期间的贷后监测"),
    "collect": (
        "to find, after a loan is overdue, a way of repaying that I can keep",
        "贷款逾期后商定本人能够履行的还款安排",
    ),
    "research": (
        "to build and test scoring models; no decision about me may rest on them",
        "建立和检验评分模型，不得据此对本人作出任何决定",
    ),
}
_NAMES_ZH: Final = {"underwrite": "授信审批", "monitor": "贷后监测", "collect": "催收", "research": "研究"}
FEATURES_TEXTS: Final = {
    name: {
        "en": _FEATURES_EN.format(purpose=english, name=name),
        "zh": _FEATURES_ZH.format(purpose=chinese, name=_NAMES_ZH[name]),
    }
    for name, (english, chinese) in _FEATURES_FOR.items()
}
"""What is shown and hashed where features alone may be read, by purpose."""


def pick_text(purpose: str, scope: str, language: str) -> str:
    """The words for a consent of one's own accord."""
    return (FEATURES_TEXTS if scope == "features" else TEXTS)[purpose][language]


def pick_underwriting(language: str, *, automated: bool) -> str:
    """The words for an application, as the borrower wants it decided."""
    return (UNDERWRITE if automated else BY_PERSON)[language]


def calculate_text_hash(text: str) -> Digest:
    """Hash of the words shown (UTF-8)."""
    return calculate_hash("consent-text", text.encode())
