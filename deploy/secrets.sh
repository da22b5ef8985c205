#!/bin/sh
# Writes the secrets of a new shop into FOLDER: four files, one for each set of processes that need them. Keys are
# random; edit the addresses. Kubernetes and systemd read the same files. Existing files stay, and stop it.
set -euC
umask 077
folder=${1:?usage: secrets.sh FOLDER}
mkdir -p "$folder"
cd "$folder"

random() { head -c "$1" /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }
database=database.example:5432/backroom?sslmode=require
broker=redis://shop:CHANGE-ME@broker.example:6379/0

cat > shop.env <<END
SECRET_KEY=$(random 32)
DATABASE_URL=postgres://shop:CHANGE-ME@$database
READER_DATABASE_URL=postgres://shop_reader:CHANGE-ME@$database
BROKER_URL=$broker
REDIS_URL=
BROKER_MASTER=mymaster
EMAIL_URL=smtp+tls://shop:CHANGE-ME@mail.example:587
WAREHOUSE_WEBHOOK_SECRET=
SMS_WEBHOOK_SECRET=
MAIL_WEBHOOK_SECRET=
PAYMENTS_WEBHOOK_SECRET=
VAPID_PRIVATE_KEY=
AWS_ACCESS_KEY_ID=
AWS_SECRET_ACCESS_KEY=
END
echo "METRICS_TOKEN=$(random 24)" > web.env
cat > flower.env <<END
BROKER_URL=$broker
REDIS_URL=
BROKER_MASTER=mymaster
FLOWER_BASIC_AUTH=staff:$(random 12)
END
cat > owner.env <<END
DATABASE_URL=postgres://shop_owner:CHANGE-ME@$database
DATABASE_STATEMENT_TIMEOUT=0
END
