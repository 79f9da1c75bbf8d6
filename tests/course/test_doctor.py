from collections import namedtuple
from importlib import metadata

import pytest

from gmnm_lib.course import doctor

Usage = namedtuple("Usage", "total used free")


def well(findings):
    return {finding.what: finding.is_well for finding in findings}


@pytest.fixture
def versions(monkeypatch):
    """What metadata.version says: changes in this dictionary come before the truth; None is a missing package."""
    changed, true = {}, metadata.version

    def version(name):
        found = changed.get(name, true(name) if name not in changed else None)
        if found is None:
            raise metadata.PackageNotFoundError(name)
        return found

    monkeypatch.setattr(doctor.metadata, "version", version)
    return changed


def test_this_environment_is_well():
    findings = doctor.examine()
    assert all(finding.is_well or finding.is_optional for finding in findings), findings
    assert {"python", "course", "packages", "disk", "torch", "threads", "data mnist-5k", "chromium"} <= set(
        well(findings)
    )


def test_a_missing_package_is_named_with_its_mend_and_nothing_is_tried_that_needs_it(versions):
    versions["papermill"] = None
    findings = doctor.examine()
    (papermill,) = [finding for finding in findings if finding.what == "papermill"]
    assert (papermill.found, papermill.is_well) == ("missing", False)
    assert "requirements.lock" in papermill.mend
    assert "torch" not in well(findings)


def test_a_package_outside_of_its_range_is_named_with_the_range(versions):
    versions["nbval"] = "0.9.0"
    (nbval,) = [finding for finding in doctor._packages() if finding.what == "nbval"]
    assert not nbval.is_well
    assert "0.9.0, but" in nbval.found


def test_a_version_that_the_tests_did_not_pass_with_is_told_but_is_no_fault(versions):
    versions["tqdm"] = "4.69.0"
    (packages,) = doctor._packages()
    assert packages.is_well
    assert "tqdm 4.69.0 (tested: " in packages.found


def test_a_full_disk_is_a_fault(monkeypatch):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: Usage(1e12, 1e12, 1e8))
    assert doctor._disk() == doctor.Finding("disk", "0.1 GB free", False, "free 2 GB or work elsewhere")


def test_a_missing_browser_is_told_but_is_no_fault(monkeypatch):
    monkeypatch.setattr(doctor.shutil, "which", lambda _: None)
    finding = doctor._chromium()
    assert (finding.found, finding.is_well, finding.is_optional) == ("not found", False, True)
