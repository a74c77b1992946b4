"""A partition as the cluster names it: its topic carries the prefix, which that of `log.TopicPartition` does not."""

from __future__ import annotations

from typing import TypeAlias

from kafka.structs import TopicPartition

WirePartition: TypeAlias = TopicPartition
