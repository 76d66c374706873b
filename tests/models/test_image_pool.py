"""The image pool."""

from __future__ import annotations

import torch
from torch import Tensor

from models.image_pool import ImagePool


def numbered(*numbers: int) -> Tensor:
    """A batch of constant images with these values."""
    return torch.tensor(numbers, dtype=torch.float32).view(-1, 1, 1, 1).expand(-1, 3, 2, 2).clone()


def numbers(images: Tensor) -> list[int]:
    return [int(number) for number in images[:, 0, 0, 0]]


def test_a_pool_of_size_zero_returns_its_input_detached() -> None:
    images = numbered(1, 2).requires_grad_()
    pool = ImagePool(0)
    returned = pool.query(images)
    assert torch.equal(returned, images) and not returned.requires_grad
    assert pool.images == []


def test_a_pool_that_is_not_full_returns_new_images() -> None:
    pool = ImagePool(3)
    assert numbers(pool.query(numbered(1, 2))) == [1, 2]
    assert numbers(pool.query(numbered(3))) == [3]
    assert numbers(torch.stack(pool.images)) == [1, 2, 3]


def test_stored_images_are_copies() -> None:
    pool, images = ImagePool(1), numbered(1)
    pool.query(images).fill_(9)
    images.fill_(9)
    assert numbers(torch.stack(pool.images)) == [1]


def test_a_full_pool_returns_a_stored_image_with_probability_one_half() -> None:
    size, draws = 10, 4000
    pool = ImagePool(size, seed=3)
    pool.query(numbered(*range(size)))
    held, replaced = set(range(size)), [0] * size
    for new in range(size, size + draws):
        places = {number: place for place, number in enumerate(numbers(torch.stack(pool.images)))}
        (returned,) = numbers(pool.query(numbered(new)))
        if returned != new:
            assert returned in held
            held = held - {returned} | {new}
            replaced[places[returned]] += 1
        assert set(numbers(torch.stack(pool.images))) == held
    # Within five standard deviations.
    assert abs(sum(replaced) - draws / 2) < 5 * (draws / 4) ** 0.5
    expected = sum(replaced) / size
    assert all(abs(count - expected) < 5 * expected**0.5 for count in replaced)


def test_random_choices_depend_on_the_seed() -> None:
    def run(seed: int) -> list[int]:
        pool = ImagePool(2, seed=seed)
        return [numbers(pool.query(numbered(i)))[0] for i in range(40)]

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_a_pool_does_not_use_the_global_random_state() -> None:
    state = torch.get_rng_state()
    pool = ImagePool(1)
    for i in range(5):
        pool.query(numbered(i))
    assert torch.equal(torch.get_rng_state(), state)


def test_a_restored_pool_makes_the_same_random_choices() -> None:
    pool = ImagePool(3, seed=1)
    for i in range(9):
        pool.query(numbered(i))
    again = ImagePool(3, seed=2)
    state = {name: value.clone() if isinstance(value, Tensor) else value for name, value in pool.state_dict().items()}
    again.load_state_dict(state)
    for i in range(9, 40):
        assert numbers(pool.query(numbered(i, -i))) == numbers(again.query(numbered(i, -i)))


def test_restoring_a_smaller_pool_drops_images() -> None:
    pool, smaller = ImagePool(3), ImagePool(2)
    pool.query(numbered(1, 2, 3))
    smaller.load_state_dict(pool.state_dict())
    assert numbers(torch.stack(smaller.images)) == [1, 2]


def test_restored_images_are_moved_to_the_device() -> None:
    pool = ImagePool(1, seed=0)
    pool.load_state_dict({"images": [torch.zeros(3, 2, 2)], "generator": pool.generator.get_state()})
    for _ in range(6):  # one of the queries returns the image restored on the CPU
        assert pool.query(torch.zeros(1, 3, 2, 2, device="meta")).device.type == "meta"


def test_stored_images_of_a_different_size_are_not_returned_in_a_batch() -> None:
    pool = ImagePool(2, seed=0)
    pool.query(torch.zeros(2, 1, 4, 4))
    for _ in range(4):
        assert pool.query(torch.ones(2, 1, 8, 8)).shape == (2, 1, 8, 8)
    alone = ImagePool(1, seed=0)
    alone.query(torch.zeros(1, 1, 4, 4))
    shapes = {alone.query(torch.ones(1, 1, size, 8)).shape for size in range(5, 25)}
    assert any(shape[2] != shape[3] for shape in shapes) and len(shapes) > 10
