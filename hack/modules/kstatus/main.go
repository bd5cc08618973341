// Prints what kstatus, the library by which Flux and Helm 4 wait, makes of objects: one YAML file an
// argument, one line "file status message" each.
package main

import (
	"fmt"
	"os"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/yaml"
)

func main() {
	for _, path := range os.Args[1:] {
		text, err := os.ReadFile(path)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		var object unstructured.Unstructured
		json, err := yaml.YAMLToJSON(text)
		if err == nil {
			err = object.UnmarshalJSON(json)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, path, err)
			os.Exit(1)
		}
		result, err := status.Compute(&object)
		if err != nil {
			fmt.Fprintln(os.Stderr, path, err)
			os.Exit(1)
		}
		fmt.Println(path, result.Status, result.Message)
	}
}
