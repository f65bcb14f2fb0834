# SPDX-License-Identifier: Apache-2.0
"""sbom.py NAME VERSION BUILD_ID SEED PACKAGES INDEX IMAGE DOC...: prints the SBOM of an image, SPDX 2.3 JSON.

PACKAGES is the build's list (name, version, architecture, SHA-256 of the .deb, place), INDEX the
package snapshot's, IMAGE the file that it describes; DOC are folders with */copyright. Packages
that only took part while the root was made ("out") are not in the image, and not here. Licences
are what Debian's copyright files declare, file by file; nobody has concluded anything from them.
"""
import datetime
import hashlib
import json
import os
import re
import sys

# Debian's short names, where they are not SPDX's own.
SPDX = {
    "apache-2.0": "Apache-2.0", "artistic": "Artistic-1.0-Perl", "artistic-2.0": "Artistic-2.0",
    "bsd-2-clause": "BSD-2-Clause", "bsd-3-clause": "BSD-3-Clause", "bsd-4-clause": "BSD-4-Clause",
    "boost-1.0": "BSL-1.0", "bsl-1.0": "BSL-1.0", "cc0": "CC0-1.0", "cc0-1.0": "CC0-1.0",
    "curl": "curl", "expat": "MIT", "mit": "MIT", "isc": "ISC", "zlib": "Zlib", "openssl": "OpenSSL",
    "gpl-1": "GPL-1.0-only", "gpl-1+": "GPL-1.0-or-later", "gpl-2": "GPL-2.0-only",
    "gpl-2.0": "GPL-2.0-only", "gpl-2+": "GPL-2.0-or-later", "gpl-2.0+": "GPL-2.0-or-later",
    "gpl-3": "GPL-3.0-only", "gpl-3.0": "GPL-3.0-only", "gpl-3+": "GPL-3.0-or-later",
    "gpl-3.0+": "GPL-3.0-or-later", "lgpl-2": "LGPL-2.0-only", "lgpl-2.0": "LGPL-2.0-only",
    "lgpl-2+": "LGPL-2.0-or-later", "lgpl-2.0+": "LGPL-2.0-or-later", "lgpl-2.1": "LGPL-2.1-only",
    "lgpl-2.1+": "LGPL-2.1-or-later", "lgpl-3": "LGPL-3.0-only", "lgpl-3.0": "LGPL-3.0-only",
    "lgpl-3+": "LGPL-3.0-or-later", "lgpl-3.0+": "LGPL-3.0-or-later", "mpl-1.1": "MPL-1.1",
    "mpl-2.0": "MPL-2.0", "mpl-2": "MPL-2.0", "psf-2": "PSF-2.0", "unicode-dfs-2016": "Unicode-DFS-2016",
}


def index_read(path):
    index = {}
    with open(path, encoding="utf-8") as file:
        for block in file.read().split("\n\n"):
            fields = dict(re.findall(r"^([A-Za-z0-9-]+): (.*)$", block, re.M))
            if fields:
                index[fields["Package"]] = fields
    return index


def licences(name, folders):
    """What the package's copyright file declares: SPDX names, and LicenseRef- for all others."""
    path = next((path for path in (os.path.join(folder, name, "copyright") for folder in folders)
                 if os.path.exists(path)), None)
    if not path:
        return set()
    with open(path, encoding="utf-8", errors="replace") as file:
        declared = re.findall(r"^License:[ \t]*(\S.*)$", file.read(), re.M)
    found = set()
    for text in declared:
        for word in re.split(r"\s+(?:and/or|or|and)\s+|\s*[,|()]\s*", text.strip(), flags=re.I):
            word = re.sub(r"\s+(with|exception).*$", "", word.strip(), flags=re.I)
            if word:
                found.add(SPDX.get(word.lower())
                          or "LicenseRef-" + re.sub(r"[^A-Za-z0-9.-]+", "-", word).strip("-.")[:64])
    return found


def identifier(name):
    return "SPDXRef-Package-" + re.sub(r"[^A-Za-z0-9.-]", lambda match: f".{ord(match[0]):x}.", name)


def debian_package(name, fields, folders):
    declared = licences(name, folders)
    source = fields.get("Source", name).split()[0]
    supplier = re.sub(r"\s*<.*>", "", fields["Maintainer"])
    return {
        "name": name, "SPDXID": identifier(name), "versionInfo": fields["Version"],
        "supplier": f"Organization: {supplier} (Debian)", "downloadLocation": "NOASSERTION",
        "packageFileName": os.path.basename(fields["Filename"]), "filesAnalyzed": False,
        "homepage": fields.get("Homepage", "NOASSERTION"), "sourceInfo": f"built from Debian's source package {source}",
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": " AND ".join(sorted(declared)) or "NOASSERTION", "copyrightText": "NOASSERTION",
        "checksums": [{"algorithm": "SHA256", "checksumValue": fields["SHA256"]}],
        "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator":
                          f"pkg:deb/debian/{name}@{fields['Version'].replace('+', '%2B').replace(':', '%3A')}"
                          f"?arch={fields['Architecture']}&distro=trixie"}],
    }


def depends(fields):
    for word in re.split(r"[,|]", fields.get("Depends", "") + "," + fields.get("Pre-Depends", "")):
        name = word.strip().split(" ")[0].split(":")[0]
        if name:
            yield name


def own_package(name, version, text, **more):
    return {"name": name, "SPDXID": identifier(name), "versionInfo": version, "supplier": "Organization: postern",
            "downloadLocation": "NOASSERTION", "filesAnalyzed": False, "licenseConcluded": "Apache-2.0",
            "licenseDeclared": "Apache-2.0", "copyrightText": "NOASSERTION", "sourceInfo": text, **more}


def file_hash(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main():
    image_name, version, build_id, seed, listed, index, image, *folders = sys.argv[1:]
    index = index_read(index)
    with open(listed, encoding="utf-8") as file:
        names = [line.split()[0] for line in file if line.split()[4] != "out"]
    appliance = own_package("postern-appliance", version, f"made from commit {build_id}",
                            packageFileName=f"{image_name}.raw.zst", primaryPackagePurpose="OPERATING-SYSTEM",
                            checksums=[{"algorithm": "SHA256", "checksumValue": file_hash(image)}])
    # The image as a whole is under the licences of all that is in it.
    appliance["licenseConcluded"] = appliance["licenseDeclared"] = "NOASSERTION"
    packages = [appliance, own_package("postern", version, f"built from commit {build_id}")]
    packages += [debian_package(name, index[name], folders) for name in names]
    relations = [("SPDXRef-DOCUMENT", "DESCRIBES", appliance["SPDXID"])]
    relations += [(appliance["SPDXID"], "CONTAINS", package["SPDXID"]) for package in packages[1:]]
    known = set(names)
    relations += [(identifier(name), "DEPENDS_ON", identifier(other))
                  for name in names for other in sorted(set(depends(index[name])) & known - {name})]
    others = sorted({word for package in packages for word in package["licenseDeclared"].split(" AND ")
                     if word.startswith("LicenseRef-")})
    epoch = int(os.environ["SOURCE_DATE_EPOCH"])
    created = datetime.datetime.fromtimestamp(epoch, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    json.dump({
        "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT",
        "name": image_name, "documentNamespace": f"urn:uuid:{seed}",
        "creationInfo": {"created": created, "creators": ["Organization: postern", "Tool: images/sbom.py"]},
        "packages": packages,
        "hasExtractedLicensingInfos": [
            {"licenseId": name, "name": name.removeprefix("LicenseRef-"), "extractedText":
             "The text is in the copyright file of each package that names it, in /usr/share/doc of the image."}
            for name in others],
        "relationships": [{"spdxElementId": a, "relationshipType": kind, "relatedSpdxElement": b}
                          for a, kind, b in relations],
    }, sys.stdout, indent=1, ensure_ascii=False)
    print()


main()
