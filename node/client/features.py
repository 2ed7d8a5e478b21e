"""What a member that was granted features alone sees: the vector, opened on its own machine and checked there.

    read = await read_features(client, application, officer=..., key=...)   ->  the vector, or FeaturesFault

Root, points, probability, band and reasons must be those of the application; that the root is of the rows' features,
whoever attested has confirmed. Nothing of the node asked is believed here but what its own books say.
"""

from typing import Any, NamedTuple

from nacl.public import PrivateKey

from node.client.http import ApiError, NodeClient
from node.client.judging import read_models
from node.vault.appraise import calculate_vector_bins, calculate_vector_root
from node.vault.crypto import OpenError, open_features
from protocol.codec import CodecError, decode
from protocol.crypto import Signer
from protocol.ids import AccountId, ObjectId, TimeMs
from protocol.vault import FeaturesPlain, VaultEnvelope


class FeaturesFault(Exception):  # noqa: N818  (what was granted is not what the ledger knows)
    """A vector that is not here, or not that of the application; `code` is stable."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


class Read(NamedTuple):
    """A vector that is that of its application."""

    vector: FeaturesPlain
    view: dict[str, Any]
    """The application, as GET /v1/applications/{id} shows it."""
    confirmed: tuple[str, ...]
    """Who has attested its bins from the rows, and with them the root: names, or accounts of those without one."""


async def read_features(
    client: NodeClient, application: ObjectId, *, officer: Signer, key: PrivateKey, now_ms: TimeMs
) -> Read:
    """The vector as granted to the officer's member, whose enc key is `key`.

    Raises FeaturesFault: features_unknown (the application commits to none), not_granted, answer_malformed, what
    `open_features` says, features_root_differs, model_unknown, score_differs.
    """
    view = await client.get(f"/v1/applications/{application.hex()}")
    features = view["features"]
    if features is None:
        raise FeaturesFault("features_unknown", "The application commits to no features.")
    account = AccountId(bytes.fromhex((await client.get(f"/v1/accounts/{officer.public_key.hex()}"))["id"]))
    path = f"/v1/vault/documents/{features['document']}"
    try:
        raw = await client.call("GET", path, signer=officer, now_ms=lambda: now_ms)
    except ApiError as error:
        if error.code != "not_found":
            raise
        why = "The node has no features for you: not granted, ended, withdrawn or erased, or it lies on another node."
        raise FeaturesFault("not_granted", why) from error
    try:
        vector = open_features(decode(raw, VaultEnvelope), account=account, key=key)
    except CodecError as error:
        raise FeaturesFault("answer_malformed", f"The node's answer is no sealed document: {error}.") from error
    except OpenError as error:
        raise FeaturesFault(error.code, error.sentence) from error
    check_view(vector, view, await client.get("/v1/network"))
    confirmed = dict.fromkeys(one["attester_name"] or one["attester"] for one in view["attestations"] if one["own"])
    return Read(vector, view, tuple(confirmed))


def check_view(vector: FeaturesPlain, view: dict[str, Any], network: dict[str, Any]) -> None:
    """Compare with root and scores of the application. Raises FeaturesFault."""
    if calculate_vector_root(vector).hex() != view["features"]["root"]:
        raise FeaturesFault("features_root_differs", "These are not the features that the application commits to.")
    models = read_models(network)
    for said in view["assessed"]:
        model = models.get(said["model"])
        if model is None:
            raise FeaturesFault("model_unknown", f"The node does not know the model {said['model']}.")
        found = model.assess(calculate_vector_bins(vector, model))
        told = (said["points"], said["pd_ppm"], said["band"], [one["code"] for one in said["reasons"]])
        if (found.points, found.pd_ppm, found.band, list(found.reasons)) != told:
            raise FeaturesFault("score_differs", "The features do not give the score that the ledger keeps.")
