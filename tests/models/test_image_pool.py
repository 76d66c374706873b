"""The pool of generated images."""

from __future__ import annotations

import torch
from torch import Tensor

from models.image_pool import ImagePool


def numbered(*numbers: int) -> Tensor:
    """A batch of images that can be told apart."""
    return torch.tensor(numbers, dtype=torch.float32).view(-1, 1, 1, 1).expand(-1, 3, 2, 2).clone()


def numbers(images: Tensor) -> list[int]:
    return [int(number) for number in images[:, 0, 0, 0]]


def test_without_size_images_come_back_detached() -> None:
    images = numbered(1, 2).requires_grad_()
    pool = ImagePool(0)
    returned = pool.query(images)
    assert torch.equal(returned, images) and not returned.requires_grad
    assert pool.images == []


def test_while_it_fills_up_images_come_back() -> None:
    pool = ImagePool(3)
    assert numbers(pool.query(numbered(1, 2))) == [1, 2]
    assert numbers(pool.query(numbered(3))) == [3]
    assert numbers(torch.stack(pool.images)) == [1, 2, 3]


def test_what_is_stored_is_a_copy() -> None:
    pool, images = ImagePool(1), numbered(1)
    pool.query(images).fill_(9)
    images.fill_(9)
    assert numbers(torch.stack(pool.images)) == [1]


def test_a_full_pool_returns_an_old_image_half_of_the_time_and_stores_the_new_one() -> None:
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
    # Five standard deviations of so many draws.
    assert abs(sum(replaced) - draws / 2) < 5 * (draws / 4) ** 0.5
    expected = sum(replaced) / size
    assert all(abs(count - expected) < 5 * expected**0.5 for count in replaced)


def test_draws_follow_the_seed() -> None:
    def run(seed: int) -> list[int]:
        pool = ImagePool(2, seed=seed)
        return [numbers(pool.query(numbered(i)))[0] for i in range(40)]

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_draws_take_nothing_from_the_global_random_state() -> None:
    state = torch.get_rng_state()
    pool = ImagePool(1)
    for i in range(5):
        pool.query(numbered(i))
    assert torch.equal(torch.get_rng_state(), state)


def test_a_restored_pool_goes_on_with_the_same_draws() -> None:
    pool = ImagePool(3, seed=1)
    for i in range(9):
        pool.query(numbered(i))
    again = ImagePool(3, seed=2)
    state = {name: value.clone() if isinstance(value, Tensor) else value for name, value in pool.state_dict().items()}
    again.load_state_dict(state)
    for i in range(9, 40):
        assert numbers(pool.query(numbered(i, -i))) == numbers(again.query(numbered(i, -i)))


def test_a_smaller_pool_takes_what_it_can_hold() -> None:
    pool, smaller = ImagePool(3), ImagePool(2)
    pool.query(numbered(1, 2, 3))
    smaller.load_state_dict(pool.state_dict())
    assert numbers(torch.stack(smaller.images)) == [1, 2]


def test_restored_images_go_to_the_device_of_the_new_ones() -> None:
    pool = ImagePool(1, seed=0)
    pool.load_state_dict({"images": [torch.zeros(3, 2, 2)], "generator": pool.generator.get_state()})
    for _ in range(6):  # one of them returns the image that was restored on the CPU
        assert pool.query(torch.zeros(1, 3, 2, 2, device="meta")).device.type == "meta"


def test_a_stored_image_of_another_size_takes_no_place_in_a_batch() -> None:
    pool = ImagePool(2, seed=0)
    pool.query(torch.zeros(2, 1, 4, 4))
    for _ in range(4):
        assert pool.query(torch.ones(2, 1, 8, 8)).shape == (2, 1, 8, 8)
    alone = ImagePool(1, seed=0)
    alone.query(torch.zeros(1, 1, 4, 4))
    shapes = {alone.query(torch.ones(1, 1, size, 8)).shape for size in range(5, 25)}
    assert any(shape[2] != shape[3] for shape in shapes) and len(shapes) > 10
