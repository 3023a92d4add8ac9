"""Where each cloud takes user-data: the steps in its form, with the labels that it had in 2026.

The forms of clouds change; nothing here was tried on a cloud. The sources of limits are in clouds.md.
"""

from __future__ import annotations

from dataclasses import dataclass

IMAGE = "{image}"


@dataclass(frozen=True)
class Place:
    """`cloud` is the name of its limits in CLOUDS; in the steps, {image} is the name of the image."""

    title: str
    cloud: str
    steps: tuple[str, ...]
    command: str = ""


PLACES = {
    "exosphere": Place(
        "Jetstream2, with Exosphere",
        "jetstream2",
        (
            "Open your allocation in Exosphere, and choose Create, then Instance.",
            f"Choose the image {IMAGE}, a flavor, and how many instances you want.",
            "Set Advanced Options to Show, and replace all text of the field Boot Script by the user-data.",
            "Press Create.",
        ),
    ),
    "horizon": Place(
        "Jetstream2, with Horizon",
        "jetstream2",
        (
            "Choose Project, Compute, Instances, and press Launch Instance.",
            f"Source: choose the image {IMAGE}. Then choose a flavor and a network.",
            "Configuration: paste the user-data into Customization Script.",
            "Press Launch Instance.",
        ),
    ),
    "openstack": Place(
        "Another OpenStack cloud",
        "openstack",
        (
            "In the cloud's web form, paste the user-data into Customization Script (tab Configuration).",
            "Or on the command line: download the file user-data, and run this command with your flavor and"
            " network:",
        ),
        f"openstack server create --image {IMAGE} --flavor m1.medium --network private"
        " --user-data user-data my-worker",
    ),
    "ec2": Place(
        "Amazon EC2",
        "ec2",
        (
            "Open EC2, and press Launch instances.",
            f"Choose the image {IMAGE} (tab My AMIs), and an instance type.",
            "Open Advanced details, and paste the user-data into User data, without ticking the box below.",
            "Press Launch instance.",
        ),
    ),
    "gce": Place(
        "Google Compute Engine",
        "gce",
        (
            "Open Compute Engine, VM instances, and press Create instance.",
            f"Choose the image {IMAGE} as the boot disk (tab Custom images).",
            "Under Metadata, add an item with the key user-data, and paste the user-data as its value.",
            "Press Create.",
        ),
    ),
    "azure": Place(
        "Microsoft Azure",
        "azure",
        (
            "Open Virtual machines, and press Create.",
            f"Choose the image {IMAGE}, and a size.",
            "Tab Advanced: paste the user-data into Custom data (not into the field User data).",
            "Press Review + create, then Create.",
        ),
    ),
}
