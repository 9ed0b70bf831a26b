// The real cidrset package of Kubernetes, driven over lines: each line of the input is a
// command, each line of the output its answer.
//
//	cut CIDR BITS   makes the set that the other commands speak of
//	next            allocates
//	occupy CIDR
//	release CIDR
package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strings"

	"k8s.io/kubernetes/pkg/controller/nodeipam/ipam/cidrset"
)

func main() {
	commands := bufio.NewScanner(os.Stdin)
	answers := bufio.NewWriter(os.Stdout)
	defer answers.Flush()
	var set *cidrset.CidrSet
	for commands.Scan() {
		answer, err := obey(&set, strings.Fields(commands.Text()))
		if err != nil {
			answer = "error: " + err.Error()
		}
		fmt.Fprintln(answers, answer)
	}
}

func obey(set **cidrset.CidrSet, words []string) (string, error) {
	if words[0] == "next" {
		block, err := (*set).AllocateNext()
		if err != nil {
			return "", err
		}
		return block.String(), nil
	}
	_, cidr, err := net.ParseCIDR(words[1])
	if err != nil {
		return "", err
	}
	switch words[0] {
	case "cut":
		bits := 0
		if _, err := fmt.Sscan(words[2], &bits); err != nil {
			return "", err
		}
		*set, err = cidrset.NewCIDRSet(cidr, bits)
	case "occupy":
		err = (*set).Occupy(cidr)
	case "release":
		err = (*set).Release(cidr)
	}
	return "done", err
}
