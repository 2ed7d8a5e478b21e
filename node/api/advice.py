"""What to do about each problem, and what happened in Chinese. English sentences are written where they arise.

A detail is matched by its words with the figures left out; one that is not in the table stays English, which a test
forbids for every sentence in the source. Never a code that `node.api.problems` does not have.
"""

import re
from functools import cache
from typing import Final

ACTIONS: Final[dict[str, tuple[str, str]]] = {
    "malformed_request": (
        "Correct what the detail names; /v1/docs shows what this address takes.",
        "按说明修正请求；/v1/docs 列出该地址接受的参数。",
    ),
    "malformed_id": (
        "Give the id as 64 lower-case hexadecimal digits, as answers show it.",
        "请按返回结果中的形式填写 64 位小写十六进制标识。",
    ),
    "signature_missing": (
        "Sign the request with a key that may read this: docs/api.md says how.",
        "请用有权读取的密钥为请求签名，方法见 docs/api.md。",
    ),
    "signature_invalid": (
        "Sign method, path with query, and time, exactly as they are sent.",
        "请对实际发送的方法、含查询的路径和时间签名。",
    ),
    "signature_stale": ("Set the clock, and sign again with the present time.", "请校准时钟，并用当前时间重新签名。"),
    "token_missing": (
        "Ask the node's operator for a token (liushui token create), and send it as docs/api.md says.",
        "请向节点运维人员申请令牌（liushui token create），并按 docs/api.md 所述发送。",
    ),
    "token_invalid": (
        "Check that it is whole and for this node; or ask the operator for a new one.",
        "请检查令牌是否完整且属于本节点，或向运维人员申请新令牌。",
    ),
    "insufficient_scope": (
        "Use a token with the scope that WWW-Authenticate names, or ask the operator for one.",
        "请使用具有 WWW-Authenticate 所列权限的令牌，或向运维人员申请。",
    ),
    "not_permitted": (
        "Use a key that the detail names, or ask a member who has one.",
        "请使用说明所指的密钥，或向持有者查询。",
    ),
    "origin_refused": (
        "Ask the node's operator to list the page's origin in cors_origins.",
        "请联系节点运维人员将该网页的来源加入 cors_origins。",
    ),
    "too_slow": (
        "Send again over a faster connection, or in smaller groups.",
        "请换用更快的连接，或分成更小的批次重试。",
    ),
    "not_found": (
        "Check the id, and that this node has reached the height it was made at.",
        "请核对标识，并确认本节点已到达其产生的高度。",
    ),
    "history_pruned": (
        "Ask a node that keeps all of the history, or begin behind the height named.",
        "请向保存完整历史的节点查询，或从所示高度之后开始。",
    ),
    "method_not_allowed": ("Use a method that the header Allow names.", "请使用响应头 Allow 所列的方法。"),
    "receipt_not_ready": ("Ask again after Retry-After.", "请在 Retry-After 之后重试。"),
    "proof_not_ready": (
        "Ask again after Retry-After, or ask a node that is not behind.",
        "请在 Retry-After 之后重试，或向未落后的节点查询。",
    ),
    "no_terms": ("Ask for other terms, or on another day.", "请更换条款，或改日再试。"),
    "document_mismatch": ("Name the document by the hash of its ciphertext.", "请以密文的哈希命名该文件。"),
    "too_large": ("Send less at once.", "请减少单次发送的内容。"),
    "unsupported_media": ("Set Content-Type to one that the detail names.", "请将 Content-Type 设为说明所列的类型。"),
    "upgrade_required": (
        "Open it with a websocket, or read /v1/events, which has the same events.",
        "请以 websocket 打开，或读取内容相同的 /v1/events。",
    ),
    "rejected": (
        "Correct what the rejection names and sign anew; the same bytes will be refused again.",
        "请按拒绝原因修正后重新签名；原样重发仍会被拒绝。",
    ),
    "quota_reached": (
        "Erase documents that are not needed, or use another node.",
        "请删除不需要的文件，或使用其他节点。",
    ),
    "too_many_requests": (
        "Wait as long as Retry-After says, then go on more slowly.",
        "请按 Retry-After 等待，然后放慢请求。",
    ),
    "internal": (
        "Try again once; if it stays so, tell the operator the time and the address.",
        "请重试一次；若仍如此，请将时间和地址告知运维人员。",
    ),
    "bans_unusable": (
        "Do what the detail says on the node's machine; nothing was changed.",
        "请在节点所在机器上按说明处理；未作任何更改。",
    ),
    "busy": (
        "Send the same again after Retry-After, or to another node.",
        "请在 Retry-After 之后原样重试，或换用其他节点。",
    ),
    "not_ready": ("Wait until /readyz says so, or ask another node.", "请等待 /readyz 就绪，或换用其他节点。"),
    "storage_full": ("Tell the operator; until then use another node.", "请告知运维人员，其间使用其他节点。"),
}

DETAILS_ZH: Final[dict[str, str]] = {
    "This needs a token with the scope {}.": "此请求需要具有 {} 权限的令牌。",
    "This key is the node's own.": "这是本节点自己的密钥。",
    "This peer is not banned.": "该节点未被封禁。",
    "Send application/json.": "请发送 application/json。",
    "This caller's share of the node is used up for now.": "该调用方在本节点的份额暂已用完。",
    "Only this node's own pages and those of cors_origins may read it.": (
        "仅本节点自己的网页及 cors_origins 所列来源可以读取。"
    ),
    "Its time is over.": "令牌已过期。",
    "This node does not know it, or no longer.": "本节点不认识该令牌，或令牌已被撤销。",
    "Send Authorization: Bearer with a token that has the scope {}.": (
        "请在 Authorization: Bearer 中发送具有 {} 权限的令牌。"
    ),
    "Send Liushui-Signature: key,ms,signature over the method, path and time; or a token with the scope {}.": (
        "请发送 Liushui-Signature：对方法、路径和时间的签名（公钥,毫秒,签名）；或具有 {} 权限的令牌。"
    ),
    "This node watches no loans: ask the node of the lender.": "本节点不监控贷款，请向贷款机构的节点查询。",
    "Alerts are for the lender's own officers, and for observers as far as public.": (
        "预警仅供贷款机构自己的人员查看，观察者可见公开部分。"
    ),
    "severity is watch, act or urgent.": "severity 应为 watch、act 或 urgent。",
    "A position in this stream is an alert's serial.": "此流中的位置是预警的序号。",
    "This node serves {} streams at once.": "本节点最多同时提供 {} 个流。",
    "No {} has this id at this height.": "在此高度没有该标识对应的内容（{}）。",
    "No line has this id at this height.": "在此高度没有该标识的授信额度。",
    "No thing has this id at this height.": "在此高度没有该标识的资产。",
    "No loan has this id at this height.": "在此高度没有该标识的贷款。",
    "No dispute has this id at this height.": "在此高度没有该标识的争议。",
    "No amendment has this id at this height.": "在此高度没有该标识的变更。",
    "No proposal has this id at this height.": "在此高度没有该标识的提案。",
    "No account has this id at this height.": "在此高度没有该标识的账户。",
    "No pool has this id at this height.": "在此高度没有该标识的资金池。",
    "No data has this id at this height.": "在此高度没有该标识的数据。",
    "Nobody ordered the erasure of this data.": "没有人要求删除该数据。",
    "This node speaks for no member.": "本节点不代表任何成员。",
    "All applications are for members; name a borrower, or sign as a member.": (
        "全部申请仅供成员查看；请指定借款人，或以成员身份签名。"
    ),
    "Exposure totals are for members that validate or observe.": "敞口合计仅供验证或观察的成员查看。",
    "The history of this node begins after block {}.": "本节点的历史始于区块 {} 之后。",
    "The history of this node begins after block {}: ask for what came later with after={}-0.": (
        "本节点的历史始于区块 {} 之后：请用 after={}-0 查询之后的内容。"
    ),
    "The events of this node begin after block {}.": "本节点的事件始于区块 {} 之后。",
    "A height is a number from 1 on.": "高度是从 1 起的整数。",
    "No block of height {} is saved here.": "本节点未保存高度 {} 的区块。",
    "No executed transaction has this id here; it may still wait.": "本节点没有该标识的已执行交易，它可能仍在等待。",
    "No executed transaction has this id here; it may still wait, or be older than this node's history, which begins"
    " after block {}.": "本节点没有该标识的已执行交易，它可能仍在等待，或早于本节点的历史（始于区块 {} 之后）。",
    "This address speaks the websocket protocol, version 13.": "该地址使用 websocket 协议第 13 版。",
    "No final header names such a state yet.": "尚无最终区块头载明该状态。",
    "Rows with a person's tag are for its parties, and for members that validate or observe.": (
        "含有个人标签的行仅供当事方以及验证或观察的成员查看。"
    ),
    "A later block must name the state first.": "须待后续区块载明该状态。",
    "A document holds at most {} MiB.": "文件最大 {} MiB。",
    "Only an account of this network may put documents, and only its own.": (
        "仅本网络的账户可以存入文件，且只能存入自己的。"
    ),
    "The ciphertext's hash is not the digest in the address.": "密文的哈希与地址中的摘要不符。",
    "No document of this digest is kept here for this key.": "本节点没有为此密钥保存该摘要的文件。",
    "No data of this id belongs to this key.": "没有该标识的数据属于此密钥。",
    "The body is not a sealed document: {}.": "请求内容不是加密文件：{}。",
    "A position is height-index, for example 12-0.": "位置的形式为 高度-序号，例如 12-0。",
    "A quote needs amount and instalments.": "报价需要 amount 和 instalments。",
    "A settlement has no schedule, and not every proposal has a lawful one today.": (
        "和解没有还款计划，且并非每项提议今天都有合法的计划。"
    ),
    "This loan cannot be extended today.": "该贷款今天不能展期。",
    "{} is missing.": "缺少 {}。",
    "{} is no parameter of this address; it takes {}.": "{} 不是该地址的参数；可用参数：{}。",
    "{} is given too often.": "{} 给出的次数过多。",
    "{} must be 64 lower-case hexadecimal digits.": "{} 应为 64 位小写十六进制数字。",
    "{} must be an integer from {} to {}.": "{} 应为 {} 到 {} 之间的整数。",
    "{} must be one of {}.": "{} 应为以下之一：{}。",
    "{} must match {}.": "{} 应符合 {}。",
    "{} is not 64 lower-case hexadecimal digits.": "{} 不是 64 位小写十六进制数字。",
    "Send {}: key,ms,signature over the method, path and time.": "请发送 {}：对方法、路径和时间的 公钥,毫秒,签名。",
    "A body must be here within {} s.": "请求内容须在 {} 秒内送达。",
    "format is json or csv.": "format 应为 json 或 csv。",
    "Name a lender or a pool, not both.": "请指定贷款机构或资金池，二者择一。",
    "The report is for members that validate or observe.": "该报告仅供验证或观察的成员查看。",
    "wait is none or final.": "wait 应为 none 或 final。",
    "Send application/json or application/msgpack.": "请发送 application/json 或 application/msgpack。",
    "A request holds 1 to {} transactions.": "一次请求包含 1 至 {} 笔交易。",
    "Not a canonical list of 1 to {} items: {}.": "不是 1 至 {} 项的规范列表：{}。",
}


@cache
def _compile() -> tuple[tuple[re.Pattern[str], str], ...]:
    """Templates with most words first, so that the one that says most is taken."""
    ordered = sorted(DETAILS_ZH.items(), key=lambda one: -len(one[0]))
    return tuple(
        (re.compile("(.*?)".join(re.escape(part) for part in english.split("{}")), re.S), chinese)
        for english, chinese in ordered
    )


def translate_detail(detail: str) -> str:
    """What happened, in Chinese; the sentence as it is when the table has none for it."""
    for pattern, chinese in _compile():
        found = pattern.fullmatch(detail)
        if found is not None:
            return chinese.format(*found.groups())
    return detail


def advise(code: str, language: str) -> str:
    """What to do about a code of the table."""
    english, chinese = ACTIONS[code]
    return chinese if language == "zh" else english
