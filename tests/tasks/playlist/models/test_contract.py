"""Every model of the table is held to the contract; the test at the end finds one that is not."""

from segue.core.names import resolve
from segue.tasks.playlist.models import MODELS
from segue.tasks.playlist.models.base import Recommender
from segue.tasks.playlist.models.fused import Fused
from segue.tasks.playlist.models.item_cf import ItemCF, ItemCFConfig
from segue.tasks.playlist.models.markov import Markov
from segue.tasks.playlist.models.popularity import Popularity
from segue.tasks.playlist.models.sasrec import SASRec
from segue.tasks.playlist.models.sasrec_config import SASRecConfig
from segue.tasks.playlist.models.user_cf import SessionKNN, UserCF
from tests.tasks.playlist.recommender_contract import RecommenderContract


class TestPopularity(RecommenderContract):
    least_reciprocal_rank = 0.078  # chance

    @classmethod
    def make(cls) -> Recommender:
        return Popularity()


class TestItemCF(RecommenderContract):
    @classmethod
    def make(cls) -> Recommender:
        return ItemCF(ItemCFConfig(neighbours=12))


class TestUserCF(RecommenderContract):
    @classmethod
    def make(cls) -> Recommender:
        return UserCF()


class TestSessionKNN(RecommenderContract):
    @classmethod
    def make(cls) -> Recommender:
        return SessionKNN()


class TestMarkov(RecommenderContract):
    @classmethod
    def make(cls) -> Recommender:
        return Markov()


class TestFused(RecommenderContract):
    @classmethod
    def make(cls) -> Recommender:
        return Fused()


class TestSASRec(RecommenderContract):
    @classmethod
    def make(cls) -> Recommender:
        return SASRec(SASRecConfig(dimension=8, heads=2, length=12, negatives=16, epochs=2))


def test_every_model_of_the_table_is_held_to_the_contract():
    held = {kind.__name__.removeprefix("Test") for kind in RecommenderContract.__subclasses__()}
    elsewhere = {"Reranker", "Original"}  # made from a fused ranker's candidates: see their tests
    assert {resolve(MODELS, name, "model").__name__ for name in MODELS} - elsewhere <= held
