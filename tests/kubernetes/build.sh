#!/usr/bin/env bash
# Builds etcd, kube-apiserver, kube-controller-manager, kubectl and cidroracle (beside this
# script) from Debian bookworm's own packages, and installs none of them.
#
#   build.sh WORK BIN    WORK: an empty folder, 2 GB at the peak; BIN: where the programs go
#
# About three minutes on two cores. Needs apt-get, dpkg-source and Debian's keyring.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(realpath "$1")
mkdir -p "$2"
bin=$(realpath "$2")
mkdir -p "$work"/{apt/lists/partial,apt/cache/archives/partial,packages,root,source}
cd "$work"

# Package lists of our own, from the mirror that this machine uses: it may be another
# release, and has no source packages configured.
mirror=$({ cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null || true; } |
    sed -nE 's#^[^\#]*(https?://[^ ]*/debian)/?( .*)?$#\1#p' | sed -n 1p)
[ -n "$mirror" ] || { echo "no Debian mirror among /etc/apt's sources"; exit 1; }
for kind in deb deb-src; do
    echo "$kind [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror bookworm main"
done >apt/sources.list
cat >apt/apt.conf <<EOF
Dir::Etc::SourceList "$work/apt/sources.list";
Dir::Etc::SourceParts "-";
Dir::State::Lists "$work/apt/lists";
Dir::Cache "$work/apt/cache";
APT::Sandbox::User "root";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
EOF
export APT_CONFIG=$work/apt/apt.conf
apt-get -qq update
(cd packages && apt-get -qq download golang-1.19-go golang-1.19-src etcd-server kubernetes-client \
    golang-github-modern-go-reflect2-dev)
for package in packages/*.deb; do dpkg-deb -x "$package" root; done
(cd source && apt-get -qq source kubernetes && mv kubernetes-1.20* kubernetes)

# reflect2 1.0.1, which Kubernetes 1.20 carries, corrupts memory with Go 1.18 and later.
reflect2=source/kubernetes/vendor/github.com/modern-go/reflect2
rm -r "$reflect2"
cp -r root/usr/share/gocode/src/github.com/modern-go/reflect2 "$reflect2"

# Module mode would want to change go.mod: the tree is built in a GOPATH, offline.
export GOROOT=$work/root/usr/lib/go-1.19 GOPATH=$work/gopath GOCACHE=$work/gocache GOFLAGS=
export GO111MODULE=off GOPROXY=off GOTOOLCHAIN=local CGO_ENABLED=0
export PATH=$GOROOT/bin:$PATH
mkdir -p gopath/src/k8s.io
ln -s "$work/source/kubernetes" gopath/src/k8s.io/kubernetes
cd gopath/src/k8s.io/kubernetes
mkdir cmd/cidroracle
cp "$here/cidroracle.go" cmd/cidroracle/main.go

# The one generated file that the source package lacks.
go build -o "$work/openapi-gen" ./vendor/k8s.io/kube-openapi/cmd/openapi-gen
inputs=$(grep -rl --include='*.go' '+k8s:openapi-gen=' pkg staging/src/k8s.io plugin cmd | xargs -n1 dirname |
    sed 's#^staging/src/#vendor/#' | LC_ALL=C sort -u |
    grep -vE 'vendor/k8s.io/(code-generator|sample-apiserver|kube-openapi|gengo)' |
    sed 's#^#k8s.io/kubernetes/#' | paste -sd,)
"$work/openapi-gen" -i "$inputs" -p k8s.io/kubernetes/pkg/generated/openapi -O zz_generated.openapi \
    -h vendor/k8s.io/code-generator/hack/boilerplate.go.txt -r "$work/violations"
# Its complaints are the known ones if its inputs were the right ones.
diff -q "$work/violations" api/api-rules/violation_exceptions.list

flags="-s -w"
for package in k8s.io/kubernetes/vendor/k8s.io/component-base/version k8s.io/kubernetes/vendor/k8s.io/client-go/pkg/version; do
    flags+=" -X $package.gitVersion=v1.20.2 -X $package.gitMajor=1 -X $package.gitMinor=20"
done
# Without the clouds, as Kubernetes' own tag has it: a third less to build.
go build -tags providerless -ldflags "$flags" -o "$bin/" \
    ./cmd/kube-apiserver ./cmd/kube-controller-manager ./cmd/cidroracle
cp "$work"/root/usr/bin/{etcd,kubectl} "$bin/"
