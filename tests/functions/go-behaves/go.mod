module example.org/behaves

go 1.18

require (
	github.com/aws/aws-lambda-go v1.54.0
	github.com/shopspring/decimal v1.4.0
)
