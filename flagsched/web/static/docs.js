SwaggerUIBundle({ url: "openapi.json", domNode: document.getElementById("ui"), deepLinking: true, validatorUrl: null });
