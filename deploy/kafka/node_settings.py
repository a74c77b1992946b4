"""The properties of one node: broker and controller in one process (KRaft combined mode)."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

MESSAGE_MAX_BYTES = 4 * 1024 * 1024


class Node(BaseModel):
    """One node of a cluster on this machine, as it is remembered from one start to the next."""

    model_config = ConfigDict(frozen=True)

    id: int
    port: int
    controller_port: int


def properties(node: Node, cluster: list[Node], data: Path) -> dict[str, str]:
    """Settings of `node`; replication fits the number of nodes, and a write needs a majority of them."""
    replicas = len(cluster)
    in_sync = replicas // 2 + 1
    return {
        "process.roles": "broker,controller",
        "node.id": str(node.id),
        "controller.quorum.voters": ",".join(f"{one.id}@127.0.0.1:{one.controller_port}" for one in cluster),
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://127.0.0.1:{node.port},CONTROLLER://127.0.0.1:{node.controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{node.port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": str(data),
        "auto.create.topics.enable": "false",
        "message.max.bytes": str(MESSAGE_MAX_BYTES),
        "replica.fetch.max.bytes": str(MESSAGE_MAX_BYTES),
        "default.replication.factor": str(replicas),
        "min.insync.replicas": str(in_sync),
        "offsets.topic.replication.factor": str(replicas),
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": str(replicas),
        "transaction.state.log.min.isr": str(in_sync),
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": str(replicas),
        "share.coordinator.state.topic.min.isr": str(in_sync),
        "group.initial.rebalance.delay.ms": "0",
        # A killed node is let in again only once its old session has expired: by default that takes 9 s.
        "broker.session.timeout.ms": "3000" if replicas == 1 else "6000",
        "broker.heartbeat.interval.ms": "500",
    }
