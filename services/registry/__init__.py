"""Registry: decides which definitions are in force, which version answers, and how it comes to that.

Consumes `control.v1`; publishes definitions, versions, approvals, rollouts and wall ticks to it; owns the platform's
founding and the rollout state machine.
"""
