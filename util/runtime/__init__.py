"""The runtime of a job: device, precision, processes, random state and signals. No other module asks torch for them."""

from __future__ import annotations

from util import moved

__getattr__ = moved.old_names(
    __name__,
    Precision="util.runtime.precision:Precision",
    RandomState="util.runtime.random_state:RandomState",
    compile_network="util.runtime.compilation:compile_network",
    get_device="util.runtime.device:get_device",
    require_synchronous_norms="util.runtime.device:require_sync_batch_norm",
    seed_everything="util.runtime.random_state:seed_everything",
    wants_pinned_memory="util.runtime.device:wants_pinned_memory",
)
