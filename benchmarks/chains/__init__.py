"""A chain of steps that do nothing, in the job queues and workflow engines that a release could be run with instead."""
