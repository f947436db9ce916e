"""Every draw has its own seed, named by a path, and nothing else moves it."""

from __future__ import annotations

import hashlib

import torch
from hypothesis import given
from hypothesis import strategies as st

from lgm_core.foundation.seeds import derive_seed, named_generator

NAMES = st.lists(st.one_of(st.text("abcxyz019_-/", max_size=6), st.integers(-5, 5)), max_size=4)


def test_seed_is_the_documented_digest() -> None:
    digest = hashlib.sha256(b"int:7\x1fstr:views\x1fint:3").digest()
    assert derive_seed(7, "views", 3) == int.from_bytes(digest[:8], "little") // 2


def test_seed_never_changes_between_releases() -> None:
    assert derive_seed(0, "views", 0) == 2421891297983438514


@given(st.integers(-(2**40), 2**40), NAMES)
def test_seed_fits_a_generator(root: int, names: list[str | int]) -> None:
    seed = derive_seed(root, *names)
    assert 0 <= seed < 2**63
    assert named_generator(root, *names).initial_seed() == seed


@given(st.integers(0, 3), NAMES, st.integers(0, 3), NAMES)
def test_different_paths_have_different_seeds(
    root: int, names: list[str | int], other_root: int, other_names: list[str | int]
) -> None:
    same = (root, names) == (other_root, other_names)
    assert (derive_seed(root, *names) == derive_seed(other_root, *other_names)) == same


def test_a_number_and_its_digits_are_different_names() -> None:
    assert derive_seed(0, 1) != derive_seed(0, "1")


def test_order_and_boundaries_of_names_matter() -> None:
    paths = [("a", "b"), ("b", "a"), ("ab",), ("a", "", "b"), ("a",), ()]
    assert len({derive_seed(0, *path) for path in paths}) == len(paths)


def test_generator_begins_anew_each_time() -> None:
    first = torch.randn(4, generator=named_generator(1, "level", 4))
    again = torch.randn(4, generator=named_generator(1, "level", 4))
    assert torch.equal(first, again)


def test_global_random_state_is_left_alone() -> None:
    before = torch.get_rng_state()
    torch.randn(4, generator=named_generator(1, "x"))
    assert torch.equal(torch.get_rng_state(), before)


def test_seeds_use_all_bits_evenly() -> None:
    seeds = [derive_seed(0, number) for number in range(4000)]
    for bit in range(63):
        share = sum(seed >> bit & 1 for seed in seeds) / len(seeds)
        assert abs(share - 0.5) < 0.05
