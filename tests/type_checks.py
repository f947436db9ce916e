"""The type checker that the tests lay over the library: shapes and types of every call."""

from beartype import BeartypeConf, beartype

# `float` takes an int, as PEP 484 says; plain beartype would refuse `checks.number(0, 1)`.
check_types = beartype(conf=BeartypeConf(is_pep484_tower=True))
