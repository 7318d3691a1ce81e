"""What each rank takes of a batch and of the validation."""

import ignite.distributed as idist
import pytest
import torch

from monai_patchgrow.data import cases_of_rank
from monai_patchgrow.data.loading.rank_share import slice_of_rank

CASES = [{"image": torch.full((1, 2), number), "label": torch.ones(1, 2)} for number in range(5)]


@pytest.fixture
def ranks(monkeypatch):
    """Lets this process be one of several."""

    def be(rank, *, of):
        monkeypatch.setattr(idist, "get_rank", lambda: rank)
        monkeypatch.setattr(idist, "get_world_size", lambda: of)

    return be


def test_the_first_ranks_take_one_more():
    assert [len(slice_of_rank(9, rank=rank, num_ranks=4)) for rank in range(4)] == [3, 2, 2, 2]


def test_slices_follow_each_other():
    assert [volume for rank in range(4) for volume in slice_of_rank(9, rank=rank, num_ranks=4)] == list(range(9))


def test_one_rank_validates_the_data_set_itself():
    assert cases_of_rank(CASES) is CASES


@pytest.mark.parametrize(("rank", "numbers"), [(0, [0, 2, 4]), (1, [1, 3])])
def test_each_case_is_validated_on_one_rank(ranks, rank, numbers):
    ranks(rank, of=2)
    own = cases_of_rank(CASES)
    assert [int(own[index]["image"][0, 0]) for index in range(len(own))] == numbers


def test_a_rank_without_a_case_gets_one_that_does_not_count(ranks):
    ranks(2, of=3)
    own = cases_of_rank(CASES[:2])
    assert len(own) == 1
    assert own[0]["label"].tolist() == [[0, 0]]
    assert own[0]["image"].tolist() == [[0, 0]]
    assert CASES[0]["label"].tolist() == [[1, 1]]
    with pytest.raises(IndexError):
        own[1]
