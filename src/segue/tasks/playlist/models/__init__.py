"""The recommenders, in a table from a short name to the class."""

from __future__ import annotations

__all__ = ["MODELS"]

MODELS = {
    "popularity": "segue.tasks.playlist.models.popularity:Popularity",
    "item-cf": "segue.tasks.playlist.models.item_cf:ItemCF",
    "user-cf": "segue.tasks.playlist.models.user_cf:UserCF",
    "session-knn": "segue.tasks.playlist.models.user_cf:SessionKNN",
    "markov": "segue.tasks.playlist.models.markov:Markov",
    "fused": "segue.tasks.playlist.models.fused:Fused",
    "original": "segue.tasks.playlist.agents.original:Original",
    "reranker": "segue.tasks.playlist.models.reranker:Reranker",
    "sasrec": "segue.tasks.playlist.models.sasrec:SASRec",
}
