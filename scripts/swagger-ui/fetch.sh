#!/usr/bin/env bash
# Fetch Swagger UI and its licences from npm into app/frame/static/vendor. Run `make swagger-ui`.
set -euo pipefail
version=5.35.0
cd "$(dirname "$0")/../.."
vendor=app/frame/static/vendor
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && npm pack --silent "swagger-ui-dist@$version" && tar xzf swagger-ui-dist-*.tgz)
rm -rf "$vendor"/swagger-ui-*
target=$vendor/swagger-ui-$version
mkdir -p "$target"
for file in swagger-ui.css swagger-ui-bundle.js; do
  sed '/sourceMappingURL/d' "$work/package/$file" > "$target/$file"
done
{
  echo "Swagger UI $version (Apache-2.0)"
  echo
  cat "$work/package/NOTICE"
  echo
  cat "$work/package/LICENSE"
  echo
  echo "What its bundle holds of others:"
  echo
  cat "$work/package/swagger-ui-bundle.js.LICENSE.txt"
} > "$target/LICENCES.txt"
echo "swagger-ui $version"
