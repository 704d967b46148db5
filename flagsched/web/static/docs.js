SwaggerUIBundle({ url: "openapi.json", domNode: document.getElementById("ui"), deepLinking: true, showExtensions: true, validatorUrl: null });
