"""What makes the operator move: watches, the queue, reconciling, the sweep, liveness. Only this knows kopf."""
