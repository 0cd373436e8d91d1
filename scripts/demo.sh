#!/bin/sh
# SimCLR on real images in about three minutes on two cores, then figures and a report.
set -eu

fashion=/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz
if [ ! -e "$fashion" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
	echo 'demo: installing the Debian package dataset-fashion-mnist'
	{ apt-get install --yes --quiet dataset-fashion-mnist ||
		{ apt-get update --quiet && apt-get install --yes --quiet dataset-fashion-mnist; }; } >/dev/null 2>&1 ||
		echo 'demo: it could not be installed'
fi

if "$PYTHON" -c 'from twofold.domains.image import open_data; open_data("fashion-mnist")' 2>/dev/null; then
	data=fashion-mnist
	flags='--epochs 9'
else
	echo 'demo: Fashion-MNIST cannot be had here; using the digits that come with scikit-learn'
	data=digits
	flags='--epochs 200 --batch-size 128 --prescription.flip off'
fi

# shellcheck disable=SC2086  # flags are words
"$TWOFOLD" pretrain simclr --data $data --out "$RUN" --overwrite --encoder resnet-small $flags
"$TWOFOLD" evaluate "$RUN"
"$TWOFOLD" report "$RUN"
