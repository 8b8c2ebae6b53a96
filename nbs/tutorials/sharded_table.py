"""A UID table whose rows are divided among the processes of a launcher, by TorchRec.

It takes the place of `IntRR.uid`. A row is updated where it is stored, in the backward
pass, by row-wise Adagrad."""

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.optim import _apply_optimizer_in_backward as update_in_backward
from torchrec import EmbeddingCollection, EmbeddingConfig, KeyedJaggedTensor
from torchrec.distributed.comm_ops import set_gradient_division
from torchrec.distributed.embedding import EmbeddingCollectionSharder
from torchrec.distributed.sharding_plan import construct_module_sharding_plan, row_wise
from torchrec.distributed.types import ShardingEnv
from torchrec.optim.rowwise_adagrad import RowWiseAdagrad


class ShardedTable(nn.Module):
    "Item rows to vectors; all processes of the default group must call it together"

    def __init__(
        self,
        weight: Tensor,  # Initial vectors, `(N, d)`, the same in each process
        rate: float = 0.01,  # Learning rate of row-wise Adagrad
    ):
        super().__init__()
        n, self.dim = weight.shape
        size = {"num_embeddings": n, "embedding_dim": self.dim}
        config = EmbeddingConfig(name="uid", feature_names=["uid"], **size)
        whole = EmbeddingCollection([config], device=weight.device)
        whole.embeddings["uid"].weight.data.copy_(weight)
        update_in_backward(RowWiseAdagrad, whole.parameters(), {"lr": rate})
        set_gradient_division(False)  # losses add up; Adagrad would not notice, others would
        sharder, ranks = EmbeddingCollectionSharder(), dist.get_world_size()
        here = {"local_size": ranks, "world_size": ranks, "device_type": weight.device.type}
        plan = construct_module_sharding_plan(whole, {"uid": row_wise()}, sharder, **here)
        env = ShardingEnv.from_process_group(dist.group.WORLD)
        self.table = sharder.shard(whole, plan, env, weight.device)

    def forward(self, rows: Tensor) -> Tensor:
        "`(...)` integers to `(..., d)`"
        flat = rows.flatten()
        asked = KeyedJaggedTensor(keys=["uid"], values=flat, lengths=torch.ones_like(flat))
        return self.table(asked)["uid"].values().view(*rows.shape, self.dim)
