# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""One name for the primary: the Service of the application follows it by a label of the pods.

Which unit is primary shows in the label ``role`` of its pod, ``primary`` or ``replica``, and the
Service that Juju made selects by it. Any unit may write these labels, so the first that knows of a
switch moves them all. Kubernetes is known in ``kube`` alone; without it, or where it refuses,
everything else goes on as it does.
"""
