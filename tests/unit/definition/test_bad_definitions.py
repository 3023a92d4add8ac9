"""Each mistake in a definition file is one error with its line, its key and what to write instead."""

from __future__ import annotations

import base64
import textwrap
from pathlib import Path

import pytest

from bakery.definition import reading
from provisioner.errors import BadInput

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhQGIifQ.c2lnbmF0dXJl"
ESCAPED, TEMPLATE = TOKEN.replace("ey", "\\u0065y"), TOKEN.replace("ey", "${e}")
ENCODED = base64.b64encode(f"TOKEN={TOKEN}".encode()).decode()
SITE_KEY = (Path(__file__).parents[3] / "examples/site/keys/site.asc").read_text()
CA = (Path(__file__).parents[3] / "examples/site/ca/example-site.pem").read_text()
FINGERPRINT = "E45A21381C3F36E2490163197C80478FF3050BEE"
REPOSITORY = '[[repositories]]\nid = "a"\nurl = "http://x.example/y"\nsuite = "./"\n'
FILE = '[[files]]\npath = "/etc/a"\n'
COMMAND = '[[commands]]\ntitle = "t"\n'

# The text of a file, and the message. FOLDER stands for the folder of the file.
MISTAKES = {
    # The file itself
    "": 'site.toml is empty. Write at least base = "debian13".',
    "# only a comment\n": 'site.toml is empty. Write at least base = "debian13".',
    "base = debian13\n": (
        'site.toml:1: not valid TOML: Invalid value (column 8). Text is written in quotes: name = "worker".'
    ),
    'base = "debian13"\nbase = "rocky9"\n': (
        "site.toml:2: not valid TOML: Cannot overwrite a value (column 16). "
        "The key is set twice. Remove one of them."
    ),
    '[services]\nenable = ["a"]\n[services]\n': (
        "site.toml:3: not valid TOML: Cannot declare ('services',) twice (column 10). "
        "The table is in the file twice. Write its keys in one place."
    ),
    'base = "debian13': "site.toml:1: not valid TOML: Unterminated string (the file ends there).",
    "[files\n": ("site.toml:1: not valid TOML: Expected ']' at the end of a table declaration (column 7)."),
    # Keys and types
    'pakages = ["a"]\n': "site.toml:1: there is no key pakages. Did you mean packages?",
    '\n[[files]]\npath = "/a"\ntekst = "x"\n': (
        "site.toml:4: there is no key files[0].tekst. Did you mean text?"
    ),
    "[roles.cvmf]\n": "site.toml:1: there is no key roles.cvmf. Did you mean cvmfs?",
    "[roles.apptainer]\nx = 1\n": (
        "site.toml:2: there is no key roles.apptainer.x. roles.apptainer has no keys."
    ),
    "[roles.docker]\n": "site.toml:1: there is no key roles.docker. Did you mean udocker?",
    'packages = "htop"\n': (
        'site.toml:1: packages must be a list of package names such as ["htop"], not a string. '
        'Write packages = ["htop"].'
    ),
    'packages = [\n  "a",\n  1,\n]\n': (
        'site.toml:3: packages[1] must be the name of a package, not an integer. Quote it: "1".'
    ),
    'packages = ["a b"]\n': "site.toml:1: packages[0] must be the name of a package.",
    'packages = ["htop-"]\n': "site.toml:1: packages[0] must be the name of a package.",
    '[files]\npath = "/a"\n': (
        "site.toml:1: files must be [[files]] tables, not a table. Write [[files]] instead of [files]."
    ),
    '[image]\nname = "a"\n': (
        "site.toml:1: image must be [[image]] tables, not a table. Write [[image]] instead of [image]."
    ),
    "base = 13\n": (
        "site.toml:1: base must be the name of a base, the path of its TOML file, or a table with path and "
        "family, not an integer."
    ),
    'worker = "ogs"\n': "site.toml:1: worker must be osg or prominence. Did you mean osg?",
    'arch = "amd65"\n': "site.toml:1: arch must be aarch64 or x86_64.",
    'verify = "all"\n': "site.toml:1: verify must be boot, clone, none, offline or pool.",
    'format = "oci"\nverify = "boot"\n': (
        'site.toml:2: verify: the format oci does not support "boot". Use none or offline.'
    ),
    'name = "My Worker"\n': ("site.toml:1: name must be lower-case letters, digits and . _ -, at most 63."),
    "name = 2026-11-28\n": (
        "site.toml:1: name must be lower-case letters, digits and . _ -, at most 63, not a date. "
        'Quote it: name = "2026-11-28".'
    ),
    "[[users]]\nuid = 7\n": "site.toml:1: users[0] has no name. name: login name.",
    # Files
    f'{FILE}text = "x"\nmode = 644\n': (
        'site.toml:4: files[0].mode must be an octal number in quotes such as "0644", not an integer. '
        "Write the octal digits in quotes."
    ),
    f'{FILE}text = "x"\nmode = 0644\n': (
        "site.toml:4: not valid TOML: Expected newline or end of document after a statement (column 9). "
        'A number cannot begin with 0. A mode is text: mode = "0644".'
    ),
    f'{FILE}text = "x"\nmode = "0999"\n': (
        'site.toml:4: files[0].mode must be an octal number in quotes such as "0644".'
    ),
    f'{FILE}text = "x"\nowner = "root"\n': (
        'site.toml:4: files[0].owner must be USER:GROUP such as "root:root".'
    ),
    f'{FILE}text = "x"\nowner = "root:root:x"\n': (
        'site.toml:4: files[0].owner must be USER:GROUP such as "root:root".'
    ),
    FILE: "site.toml:1: files[0] has none of text and source. Set one of them.",
    f'{FILE}text = "x"\nsource = "motd"\n': (
        "site.toml:1: files[0] has more than one of text and source. Keep one of them."
    ),
    f'{FILE}source = "modt"\n': (
        "site.toml:3: files[0].source: there is no file FOLDER/modt. Did you mean motd?"
    ),
    f'{FILE}source = "gone/motd"\n': (
        "site.toml:3: files[0].source: there is no file FOLDER/gone/motd. There is no folder FOLDER/gone."
    ),
    f'{FILE}source = "folder"\n': (
        "site.toml:3: files[0].source: FOLDER/folder is a folder. Give the path of a file."
    ),
    f'{FILE}source = "loop"\n': (
        "site.toml:3: files[0].source: cannot read FOLDER/loop: Too many levels of symbolic links."
    ),
    f'{FILE}source = "link"\n': (
        "site.toml:3: files[0].source: FOLDER/link is a link to OUTSIDE/secret, outside the folder of the "
        "definition. Give that path instead."
    ),
    '[[files]]\npath = "etc/a"\ntext = ""\n': "site.toml:2: files[0].path must be an absolute path.",
    '[[files]]\npath = "/etc/"\ntext = ""\n': "site.toml:2: files[0].path must be an absolute path.",
    '[[files]]\npath = "/etc/../a"\ntext = ""\n': (
        "site.toml:2: files[0].path: '/etc/../a' is not an absolute path of a file without . and .. in it."
    ),
    '[[files]]\npath = "/tmp/a"\ntext = ""\n': (
        "site.toml:2: files[0].path: The file /tmp/a would not be in the image: the seal removes /tmp/* "
        "(temporary files). Choose another path."
    ),
    f'{FILE}text = "-----BEGIN PRIVATE KEY-----"\n': (
        "site.toml:1: files[0]: /etc/a contains a private key, and images must not contain secrets. "
        "Deliver it to the worker when it boots."
    ),
    f'{FILE}source = "dangling"\n': (
        "site.toml:3: files[0].source: FOLDER/dangling is a link to gone, which does not exist."
    ),
    f'{FILE}text = "1"\n{FILE}text = "2"\n': (
        "site.toml:5: files contains two with the path /etc/a. The other is files[0]."
    ),
    f'{FILE}text = "$sight"\ntemplate = true\n[variables]\nsite = "x"\n': (
        "site.toml:3: files[0].text: [variables] has no sight. Did you mean site?"
    ),
    f'{FILE}text = "$HOME"\ntemplate = true\n': (
        "site.toml:3: files[0].text: [variables] has no HOME. Define HOME, or write $$HOME."
    ),
    f'{FILE}text = "a\\n 5 $"\ntemplate = true\n': (
        "site.toml:3: files[0].text: line 2 of the template has a $ without a name. "
        "Write $$ for a dollar sign."
    ),
    f'{FILE}source = "latin1"\ntemplate = true\n': (
        "site.toml:3: files[0].source is not UTF-8, so it cannot be a template. Remove template = true."
    ),
    f'{FILE}text = "x"\ntemplate = "yes"\n': (
        "site.toml:4: files[0].template must be true or false, not a string."
    ),
    # Repositories
    REPOSITORY: (
        "site.toml:1: repositories[0] has no key; unsigned repositories are not supported. "
        "Set key to a file with its armored public key, or key-url and fingerprint."
    ),
    f'{REPOSITORY}key = "site.asc"\nfingerprint = "{"0" * 40}"\n': (
        f"site.toml:6: repositories[0].key: site.asc has the fingerprint {FINGERPRINT}, expected "
        f"{'0' * 40}. Verify the key with its owner."
    ),
    f'{REPOSITORY}key = "site.asc"\nfingerprint = "1234"\n': (
        "site.toml:6: repositories[0].fingerprint must be 40 or 64 hexadecimal digits, "
        "in groups if you like."
    ),
    f'{REPOSITORY}key = "motd"\n': (
        "site.toml:5: repositories[0].key: motd is not an armored public key. Use gpg --armor --export."
    ),
    f'{REPOSITORY}key-url = "http://x.example/key"\n': (
        "site.toml:5: repositories[0].key-url requires a fingerprint. "
        "Set fingerprint to the 40 digits of a key that you have verified."
    ),
    f'{REPOSITORY}key = "site.asc"\nkey-url = "http://x.example/key"\n': (
        "site.toml:1: repositories[0] has both key and key-url. Keep one of them."
    ),
    '[[repositories]]\nid = "a"\nurl = "http://me:pw@x.example"\n': (
        "site.toml:3: repositories[0].url must be a URL with http:// or https://, without a password, "
        "blanks or quotes."
    ),
    '[[repositories]]\nid = "a"\nurl = "http://x.example"\nkey = "site.asc"\n': (
        "site.toml:1: repositories[0] has no suite, which APT requires. "
        'Set suite, for example "trixie", or "./" for a folder of packages.'
    ),
    f'base = "almalinux9"\n{REPOSITORY}key = "site.asc"\n': (
        "site.toml:5: repositories[0].suite does not apply to the family el9. Remove suite."
    ),
    'base = "almalinux9"\n[[repositories]]\nid = "epel"\nurl = "http://x.example"\nkey = "site.asc"\n': (
        "site.toml:3: repositories[0]: worker-bakery adds a repository epel itself. "
        "Choose another id, or use repository-urls to replace its URL."
    ),
    f'{REPOSITORY}exclude = "a"\nkey = "site.asc"\n': (
        "site.toml:5: repositories[0].exclude does not apply to the family debian. Remove exclude."
    ),
    f'{REPOSITORY}key = "site.asc"\n' * 2: (
        "site.toml:7: repositories contains two with the id a. The other is repositories[0]."
    ),
    "keep-repository-urls = true\n": (
        "site.toml:1: keep-repository-urls requires repository-urls. Set [repository-urls], or remove it."
    ),
    'base = "rocky9"\nkeep-repository-urls = true\n[repository-urls]\nepl = "http://x.example"\n': (
        "site.toml:4: repository-urls: the plan of this base has no repository epl. Did you mean epel?"
    ),
    '[repository-keys]\nhtcondor = "site.asc"\n': (
        "site.toml:2: repository-keys: the plan of this base has no repository htcondor. It has none."
    ),
    'apt-sources = ["motd"]\n': ("site.toml:1: apt-sources requires an optional role. Add [roles.NAME]."),
    'apt-sources = ["motd"]\n[roles.udocker]\n': (
        "site.toml:1: apt-sources[0]: The apt source FOLDER/motd has an invalid or repeated field: hello. "
        "The format is deb822, see sources.list(5): Types, URIs, Suites, Components, Signed-By."
    ),
    # Base and roles
    'base = "debain13"\n': (
        "site.toml:1: base: There is no base 'debain13'. Did you mean debian13? Available: ALL"
    ),
    'base = "mine.toml"\n': "site.toml:1: base: there is no file FOLDER/mine.toml. Did you mean site.toml?",
    '[base]\npath = "motd"\n': "site.toml:1: base has no family. family: the system in the image.",
    '[base]\npath = "motd"\nfamily = "el99"\n': (
        "site.toml:3: base.family must be debian, el10, el7, el8, el9 or ubuntu. Did you mean el9?"
    ),
    '[base]\npath = "motd"\nfamily = "el9"\nsha256 = "12"\n': (
        "site.toml:4: base.sha256 must be 64 hexadecimal digits."
    ),
    'base = "centos7"\narch = "aarch64"\n': (
        "site.toml:2: centos7 is not available for aarch64. Use x86_64."
    ),
    "[roles.cvmfs]\n": (
        'site.toml:1: roles.cvmfs has no repositories. Write repositories = ["atlas.cern.ch"].'
    ),
    '[roles.cvmfs]\nrepositories = ["atlas"]\n': (
        "site.toml:2: roles.cvmfs.repositories[0] must be the full name of a CVMFS repository such as "
        "atlas.cern.ch."
    ),
    '[roles.cvmfs]\nrepositories = ["atlas.cern.ch"]\nquota = 10\n': (
        "site.toml:3: roles.cvmfs.quota must be a whole number of MB, at least 1000."
    ),
    '[roles.cvmfs]\nrepositories = ["atlas.cern.ch"]\n[roles.ospool]\ncvmfs-quota = 2000\n': (
        "site.toml:4: roles.ospool.cvmfs-quota cannot be used with [roles.cvmfs]. Set it in [roles.cvmfs]."
    ),
    '[roles.ospool]\npelican = "gone"\n': (
        "site.toml:2: roles.ospool.pelican: there is no file FOLDER/gone."
    ),
    # Settings
    "[worker-defaults]\nIdleTimout = 600\n": (
        "site.toml:2: worker-defaults.IdleTimout: a worker of the kind osg has no such key. "
        "Did you mean IdleTimeout?"
    ),
    '[worker-defaults]\nIdleTimeout = "soon"\n': (
        "site.toml:2: worker-defaults.IdleTimeout: IdleTimeout is not a whole number of seconds between 0 "
        "and 31622400. The worker would reject it."
    ),
    '[worker-defaults]\nTokenFile = "/a"\n': (
        "site.toml:2: worker-defaults.TokenFile cannot be a default of an image. "
        "Pass the token to the worker in its user-data."
    ),
    'worker = "prominence"\n[worker-defaults]\nCloud = "a"\nPROMINENCE_CLOUD = "b"\n': (
        "site.toml:4: worker-defaults.PROMINENCE_CLOUD: PROMINENCE_CLOUD is set twice. Remove one of them."
    ),
    '[condor]\nSTART = "True"\n': (
        "site.toml:2: condor.START: START of HTCondor is set from the worker's file on each worker. "
        "Set WORKER_GUARDS: jobs must satisfy it and the user's Start."
    ),
    '[condor]\n"A B" = 1\n': (
        "site.toml:2: condor.A B: 'A B' is not a valid name of a setting of HTCondor."
    ),
    "[condor]\nA = 1\na = 2\n": (
        "site.toml:3: condor.a: a of HTCondor is set twice. "
        "HTCondor ignores upper and lower case in names. Remove one of them."
    ),
    '[condor]\nA = "a\\nB = c"\n': "site.toml:2: condor.A must not contain line breaks.",
    '[condor]\nA = "a \\\\"\n': (
        "site.toml:2: condor.A: The value of A must be one line that does not end with a backslash."
    ),
    "[condor]\nA = [1]\n": (
        "site.toml:2: condor.A must be a string, an integer, true or false or a number, not a list."
    ),
    "[sysctl]\nswappiness = 1\n": (
        "site.toml:2: swappiness is not the name of a kernel parameter. "
        "Write the name as sysctl(8) prints it: net.ipv4.ip_forward = 0."
    ),
    '[sysctl]\n"net.ipv4 forward" = 1\n': (
        "site.toml:2: net.ipv4 forward is not the name of a kernel parameter. "
        "Write the name as sysctl(8) prints it: net.ipv4.ip_forward = 0."
    ),
    "[sysctl]\nnet.ipv4.ip_forward = true\n": (
        "site.toml:2: sysctl.net.ipv4.ip_forward must be a string or an integer. Write 1 or 0."
    ),
    '[sysctl]\nvm.swappiness = 1\n"vm.swappiness" = 2\n': (
        "site.toml:3: vm.swappiness is set twice. Remove one of them."
    ),
    '[services]\nenable = ["a b"]\n': (
        "site.toml:2: services.enable[0] must be the name of a systemd unit such as chrony.service."
    ),
    '[services]\nenable = ["chrony"]\nmask = ["chrony.service"]\n': (
        "site.toml:3: chrony.service is in services.enable and in services.mask. Remove one of them."
    ),
    'kernel-arguments = ["a b"]\n': (
        "site.toml:1: kernel-arguments[0] must be one kernel argument of letters, digits and "
        "_ . , : = / + @ % -."
    ),
    'format = "oci"\nkernel-arguments = ["a"]\n': (
        "site.toml:2: kernel-arguments: A container image cannot have kernel arguments. "
        "The host's kernel runs it."
    ),
    'format = "oci"\n[services]\nmask = ["a"]\nenable = [\n"b"]\n': (
        "site.toml:5: services.enable[0]: A container image cannot have services: b.service. "
        "It has no systemd; run the program another way."
    ),
    '[services]\nenable = ["a.b"]\n': ("site.toml:2: services.enable[0]: 'a.b' is not a valid unit."),
    "[roles]\nudocker = true\n": (
        "site.toml:2: roles.udocker must be a table, not true or false. Write [roles.udocker]."
    ),
    "root-size = 20\n": (
        'site.toml:1: root-size must be a size in quotes such as "20G", with M, G or T, not an integer.'
    ),
    'root-size = "20 GB"\n': (
        'site.toml:1: root-size must be a size in quotes such as "20G", with M, G or T.'
    ),
    'root-size = "1G"\n': (
        "site.toml:1: root-size: The root size of 1.0 GiB is not possible. The base debian13 has 4.3 GiB. "
        "A disk can only be enlarged, to at most 16 TiB, in units of 512 bytes."
    ),
    'version = "1\\n"\n': "site.toml:1: version must not contain line breaks.",
    'output = "a\\u0007"\n': "site.toml:1: output must not contain control characters.",
    # Users, commands, certificates, tests
    '[[users]]\nname = "Alice"\n': (
        "site.toml:2: users[0].name must be lower-case letters, digits, _ and -, "
        "beginning with a letter or _."
    ),
    '[[users]]\nname = "root"\n': (
        "site.toml:2: users[0].name: The user root is one of the system or of HTCondor. "
        "Choose another name."
    ),
    '[[users]]\nname = "a"\nhome = "/tmp/a"\n': (
        "site.toml:3: users[0].home: The home /tmp/a of the user a would not be in the image: "
        "the seal removes /tmp/* (temporary files). Choose another path."
    ),
    '[[users]]\nname = "a"\nuid = 0\n': "site.toml:3: users[0].uid must be a whole number from 1 to 60000.",
    '[[users]]\nname = "a"\nuid = 9\n[[users]]\nname = "b"\nuid = 9\n': (
        "site.toml:6: users contains two with the uid 9. The other is users[0]."
    ),
    COMMAND: "site.toml:1: commands[0] has none of argv, script and text. Set one of them.",
    f'{COMMAND}argv = ["a"]\ntext = "#!/bin/sh"\n': (
        "site.toml:1: commands[0] has more than one of argv, script and text. Keep one of them."
    ),
    f"{COMMAND}argv = []\n": (
        'site.toml:3: commands[0].argv is empty. Write argv = ["PROGRAM", "ARGUMENT"].'
    ),
    f'{COMMAND}argv = "a b"\n': (
        'site.toml:3: commands[0].argv must be a list such as ["update-ca-trust"], not a string. '
        'Write argv = ["a b"].'
    ),
    f'{COMMAND}argv = ["a\\u0000"]\n': (
        "site.toml:3: commands[0].argv[0] must not contain control characters."
    ),
    f'{COMMAND}text = "echo"\n': (
        "site.toml:3: commands[0].text: the first line of a script must name its interpreter. "
        "Begin it with #!/bin/sh."
    ),
    f'{COMMAND}text = "#!/bin/sh\\r\\nls\\r\\n"\n': (
        "site.toml:1: commands[0]: The script of the command 't' has Windows line ends (CRLF). "
        "Save it with Unix line ends (LF): its interpreter is not found."
    ),
    f'{COMMAND}argv = ["sh", "-c", "echo -----BEGIN RSA PRIVATE KEY-----"]\n': (
        "site.toml:1: commands[0]: The command 't' contains a private key, and images must not contain "
        "secrets. Deliver it to the worker when it boots."
    ),
    f'{COMMAND}argv = ["a"]\nphase = "last"\n': (
        "site.toml:4: commands[0].phase must be base, final or packages."
    ),
    'ca-certificates = ["motd"]\n': (
        "site.toml:1: ca-certificates[0]: motd is not a certificate in PEM format. "
        "Convert a DER file with openssl x509 -inform DER -in FILE -out FILE.pem."
    ),
    'ca-certificates = ["with-key.pem"]\n': (
        "site.toml:1: ca-certificates[0]: with-key.pem contains a private key. "
        "Keep only the certificate in it."
    ),
    'ca-certificates = ["ca.pem", "folder/ca.crt"]\n': (
        "site.toml:1: ca-certificates contains two files with the name ca. Rename one of them."
    ),
    'tests = ["motd"]\n': (
        "site.toml:1: tests has no file that pytest collects. Rename one to test_NAME.py."
    ),
    'tests = [\n"gone.py"]\n': "site.toml:2: tests[0]: there is no file FOLDER/gone.py.",
    'tests = [\n"ca.pem",\n"folder/../ca.pem"]\n': (
        "site.toml:3: tests contains two files with the name ca.pem. Rename one of them."
    ),
    # Several images
    'name = "a"\n[[image]]\nname = "b"\n': (
        "site.toml:1: name applies to one image. Set it in each [[image]] table."
    ),
    "image = []\n": "site.toml:1: image is empty. Write [[image]] tables, or remove it.",
    '[[image]]\nname = "a"\n[[image]]\nbase = "debian12"\n': (
        'site.toml:3: image[1] has no name. Write name = "NAME".'
    ),
    '[[image]]\nname = "a"\n[[image]]\nname = "a"\n': (
        "site.toml: the image a is defined twice. Set another name."
    ),
    'packages = ["x"]\n[[image]]\nname = "a"\n[[image.files]]\npath = "/a"\nsource = "gone"\n': (
        "site.toml:6: files[0].source: there is no file FOLDER/gone."
    ),
    f'{FILE}text = ""\n[[image]]\nname = "a"\n[[image.files]]\npath = "/etc/a"\ntext = ""\n': (
        "site.toml:7: files contains two with the path /etc/a. The other is files[0]."
    ),
    'output = "a.qcow2"\n[[image]]\nname = "a"\n[[image]]\nname = "b"\n': (
        "site.toml:1: output is one file, and there are several images. "
        "Give a folder: a path that ends in /."
    ),
    'base = "debian13"\n[matrix]\nbase = ["debian12"]\n': (
        "site.toml:3: base and matrix.base cannot be used together. Remove base."
    ),
    "[matrix]\nworker = []\n": "site.toml:2: matrix.worker is empty. Give values, or remove matrix.worker.",
    '[matrix]\nbase = [\n "debian13",\n "debian13",\n]\n': (
        "site.toml:4: matrix.base contains debian13 twice. Remove one of them."
    ),
    '[matrix]\nbase = ["debian13", "debain12"]\n': (
        "site.toml:2: base: There is no base 'debain12'. Did you mean debian12? Available: ALL"
    ),
    '[matrix]\nbase = ["debian13", "centos7"]\narch = [\n "x86_64",\n "aarch64"]\n': (
        "site.toml:5: debian13 is not available for aarch64. Use x86_64."
    ),
    # Tokens
    f'{FILE}text = "{ENCODED}"\n': (
        "site.toml:3: the file contains a token, and images must not contain secrets. "
        "Pass the token to the worker in its user-data instead."
    ),
    f'{FILE}source = "base64"\n': (
        "site.toml:3: files[0].source: FOLDER/base64 contains a token, and images must not contain "
        "secrets. Pass the token to the worker in its user-data instead."
    ),
    f'name = "a"\n[condor]\nA = "{TOKEN}"\n': (
        "site.toml:3: the file contains a token, and images must not contain secrets. "
        "Pass the token to the worker in its user-data instead."
    ),
    f"# {TOKEN}\n": (
        "site.toml:1: the file contains a token, and images must not contain secrets. "
        "Pass the token to the worker in its user-data instead."
    ),
    f'{FILE}text = "{ESCAPED}"\n': (
        "site.toml:3: files[0].text contains a token, and images must not contain secrets. "
        "Pass the token to the worker in its user-data instead."
    ),
    f'{FILE}source = "token"\n': (
        "site.toml:3: files[0].source: FOLDER/token contains a token, and images must not contain secrets. "
        "Pass the token to the worker in its user-data instead."
    ),
    f'{COMMAND}script = "token"\n': (
        "site.toml:3: commands[0].script: FOLDER/token contains a token, and images must not contain "
        "secrets. Pass the token to the worker in its user-data instead."
    ),
    f'{FILE}text = "{TEMPLATE}"\ntemplate = true\n[variables]\ne = "ey"\n': (
        "site.toml:3: files[0].text contains a token, and images must not contain secrets. "
        "Pass the token to the worker in its user-data instead."
    ),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with files that definitions name."""
    made = tmp_path / "site"
    (made / "folder").mkdir(parents=True)
    (made / "motd").write_text("hello\n")
    (made / "latin1").write_bytes(b"gr\xfc\xdfe\n")
    (made / "token").write_text(f"#!/bin/sh\n{TOKEN}\n")
    (made / "base64").write_text(f"/opt/{textwrap.fill(ENCODED, 60)}")
    (made / "site.asc").write_text(SITE_KEY)
    (made / "ca.pem").write_text(CA)
    (made / "folder" / "ca.crt").write_text(CA)
    (made / "with-key.pem").write_text(f"{CA}-----BEGIN PRIVATE KEY-----\n")
    (made / "loop").symlink_to("loop")
    (made / "dangling").symlink_to("gone")
    (tmp_path / "secret").write_text("x")
    (made / "link").symlink_to(tmp_path / "secret")
    return made


def error(folder: Path, content: str | bytes) -> str:
    path = folder / "site.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(BadInput) as caught:
        reading.read([path])
    assert "c2lnbmF0dXJl" not in str(caught.value)
    said = str(caught.value).replace(str(path), "site.toml").replace(str(folder), "FOLDER")
    said = said.replace(str(folder.parent), "OUTSIDE")
    before, available, _ = said.partition("Available: ")
    return f"{before}{available}ALL" if available else said


@pytest.mark.parametrize(("text", "message"), MISTAKES.items())
def test_a_mistake_is_one_error(text: str, message: str, folder: Path) -> None:
    assert error(folder, text) == message


def test_a_file_that_is_not_utf8(folder: Path) -> None:
    assert error(folder, b'base = "debian13"\nname = "\xff"\n') == (
        "site.toml:2: the file is not UTF-8. Save it as UTF-8."
    )


def test_a_definition_that_is_a_folder_or_missing(tmp_path: Path) -> None:
    (tmp_path / "worker.toml").write_text('base = "debian13"')
    for name, message in (
        ("", f"{tmp_path} is a folder. Give the path of a definition file."),
        ("workr.toml", f"There is no file {tmp_path}/workr.toml. Did you mean worker.toml?"),
    ):
        with pytest.raises(BadInput) as caught:
            reading.read([tmp_path / name])
        assert str(caught.value) == message


def test_two_files_with_one_name(tmp_path: Path) -> None:
    for name in ("a.toml", "b.toml"):
        (tmp_path / name).write_text('name = "w"')
    with pytest.raises(BadInput) as caught:
        reading.read([tmp_path / "a.toml", tmp_path / "b.toml"])
    assert str(caught.value) == (
        f"{tmp_path}/b.toml: the image w is defined also in {tmp_path}/a.toml. Set another name."
    )


def test_two_images_with_one_output(tmp_path: Path) -> None:
    for name in ("a.toml", "b.toml"):
        (tmp_path / name).write_text('output = "w.qcow2"')
    with pytest.raises(BadInput) as caught:
        reading.read([tmp_path / "a.toml", tmp_path / "b.toml"])
    assert str(caught.value) == (
        f"{tmp_path}/b.toml: two images have the output {tmp_path}/w.qcow2. "
        "Set another output, or a folder with a final /."
    )
